// Package fuel rewrites a WebAssembly module so that it counts what it does and stops when
// that was enough. A guest runs as native code that nobody can interrupt; what it may spend
// must be in the code itself.
//
//	module ─▶ parse ─▶ validate ─▶ emit ─▶ module with two more globals
//	          limits   wazero, the          millrace_fuel   what may still be spent
//	                   original             millrace_stack  how much deeper calls may go
//
// The body of each function is cut into regions: its entry, each iteration of a loop, and
// each longer stretch behind an if, an else or an end. A region begins with
//
//	fuel −= weight of its instructions; if fuel < 0 { unreachable }
//
// and a function that charges more often than it calls others keeps fuel in a variable in
// between: the global is right before every call, behind every function, and when too little
// was left. What traps otherwise loses what the variable had; whoever reads the global then
// counts the call as all it was given.
//
// A short stretch is paid by the region that must have run before it. So each instruction
// is paid before it runs, no instruction is free, and what is paid and not run is little.
// Instructions that work on a number of bytes pay for that number; a function that calls
// others pays for its frame as long as it is on the stack. What a call of the host costs,
// the host takes off the global itself.
//
// A comparison of integers and the br_if behind it are written as the opposite comparison and a
// branch from an else, which does the same and is what the compiler makes less code of; join.go
// tells where not.
//
// What must stay true: the original is valid before anything is added. A guest that names
// a global which does not exist yet could otherwise give itself fuel.
//
// Source: https://webassembly.github.io/spec/core/binary/
package fuel
