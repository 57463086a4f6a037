package wasm

// GoGuest is a program in testdata as a module.
var GoGuest = goGuest
