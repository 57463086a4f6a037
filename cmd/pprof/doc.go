// Package pprof is the command that shows profiles: of a running broker, of files, of the
// ring that a broker keeps. It shows them in google/pprof's own web pages, whose driver is
// in the command line only: it keeps state of its own in the process, and is large. A broker
// serves raw profiles and knows nothing of it.
//
//	broker /debug/pprof ─┐
//	files ───────────────┼▶ profiles by kind ─▶ driver ─▶ web pages, one set for each kind
//	profiles/ of a ring ─┘                        └─────▶ --top, --out
package pprof
