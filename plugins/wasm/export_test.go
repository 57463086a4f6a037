package wasm

// GoGuest is the mask as a module from Go.
var GoGuest = goGuest
