// https://developer.apple.com/documentation/corefoundation
// Apple bridges these to Foundation's types with `as`. Linux does not bridge, so here they are the same types, and a
// missing cast is not found.
import Dispatch
import Foundation

public typealias CFString = String
public typealias CFData = Data
public typealias CFURL = URL
public typealias CFDictionary = [AnyHashable: Any]
public typealias CFTypeRef = AnyObject
public typealias OSType = UInt32

// https://developer.apple.com/documentation/corefoundation/cfallocator
public class CFAllocator {}
public var kCFAllocatorDefault: CFAllocator! { nil }

/// Prints a complaint about a misuse at once, because the program may crash next.
@_spi(Checks) public func complain(_ text: String) {
    FileHandle.standardOutput.write(Data("complaint: \(text)\n".utf8))
}

private let mainKey: DispatchSpecificKey<Bool> = {
    let key = DispatchSpecificKey<Bool>()
    DispatchQueue.main.setSpecific(key: key, value: true)
    return key
}()

/// Whether the caller runs on the main queue. On Linux, another thread than the main one may serve it.
@_spi(Checks) public func isOnMainQueue() -> Bool {
    Thread.isMainThread || DispatchQueue.getSpecific(key: mainKey) == true
}

/// Whether a queue is the main one. On Linux, each access to the main queue returns another object.
@_spi(Checks) public func isMain(_ queue: DispatchQueue?) -> Bool {
    queue?.getSpecific(key: mainKey) == true
}
