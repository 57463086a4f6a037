// Package tune is the command that makes a broker faster by trying: `millrace tune` for settings,
// clients, plugins and the garbage collector, `millrace tune pgo` for the build itself. What is
// proposed and what is kept is decided in package tuning; here brokers are started, loaded,
// profiled and measured in turn, and what came of it is written down.
//
//	observe: one run, profiles, metrics ──▶ tuning ──▶ one change
//	                                          ▲           │
//	      results.Compare ◀── A B A B … ◀── two brokers ◀─┘
package tune
