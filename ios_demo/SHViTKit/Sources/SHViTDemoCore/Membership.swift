extension Set {
    /// Whether the set contains an element. Setting it inserts or removes the element, so that a toggle can bind to it.
    public subscript(holds element: Element) -> Bool {
        get { contains(element) }
        set {
            if newValue { insert(element) } else { remove(element) }
        }
    }
}
