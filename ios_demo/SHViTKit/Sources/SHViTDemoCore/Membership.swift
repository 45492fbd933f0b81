extension Set {
    /// Whether it holds an element; set, it takes the element in or gives it up. A switch on a screen binds to this.
    public subscript(holds element: Element) -> Bool {
        get { contains(element) }
        set {
            if newValue { insert(element) } else { remove(element) }
        }
    }
}
