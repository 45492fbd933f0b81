#if canImport(Darwin)
    // This import needs a file of its own: the kernel declares the task port as a mutable C variable, and
    // `@preconcurrency` only silences that if no other import brings in the same module.
    @preconcurrency import Darwin

    /// Returns this app's `phys_footprint` in bytes, which counts against its memory limit; nil if the kernel fails.
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

    /// Returns the device's model code, such as "iPhone16,1"; nil if the kernel fails.
    func hardwareModel() -> String? {
        var size = 0
        guard sysctlbyname("hw.machine", nil, &size, nil, 0) == 0, size > 0 else { return nil }
        var name = [CChar](repeating: 0, count: size)
        guard sysctlbyname("hw.machine", &name, &size, nil, 0) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
#endif
