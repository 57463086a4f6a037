package engine

// Version is what this program calls itself.
const Version = "0.1.0"
