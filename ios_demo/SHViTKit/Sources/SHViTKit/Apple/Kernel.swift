#if canImport(Darwin)
    // Alone in its file: the kernel's name for this task is a variable of C's, and the attribute that says that nobody
    // changes it holds only where no other import brings the same module.
    @preconcurrency import Darwin

    /// `phys_footprint` of this app, in bytes: what counts against its limit; nil where the kernel does not tell.
    func memoryFootprint() -> Int? {
        var info = task_vm_info_data_t()
        let words = MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<integer_t>.size
        var count = mach_msg_type_number_t(words)
        let code = withUnsafeMutablePointer(to: &info) { info in
            info.withMemoryRebound(to: integer_t.self, capacity: words) { info in
                task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), info, &count)
            }
        }
        return code == KERN_SUCCESS ? Int(clamping: info.phys_footprint) : nil
    }

    /// The maker's code of the device, as "iPhone16,1"; nil where the kernel does not tell.
    func hardwareModel() -> String? {
        var size = 0
        guard sysctlbyname("hw.machine", nil, &size, nil, 0) == 0, size > 0 else { return nil }
        var name = [CChar](repeating: 0, count: size)
        guard sysctlbyname("hw.machine", &name, &size, nil, 0) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
#endif
