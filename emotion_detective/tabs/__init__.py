"""The page's tabs, one a module. Each has a `tab(detective)` that lays it out and wires it."""
