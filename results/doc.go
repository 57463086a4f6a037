// Package results keeps what was measured: one JSON file per run, checked against
// schema.json, and everything that is made from such files: comparisons, reports and
// BENCHMARKS.md.
//
//	loadgen ──▶ Result ──Write──▶ results/<date>-<suite>-<system>-<run>.json
//	                                  │
//	                 Read, Validate ◀─┘
//	                   │
//	                   ├─▶ Compare     ratios of medians, their spread, better / worse / unresolved
//	                   ├─▶ Report      one HTML file with its plots inside
//	                   ├─▶ Limit.Judge goal met / met / not met / unresolved, for each promise
//	                   └─▶ Benchmarks  BENCHMARKS.md
//
// Files are append-only: a figure in a document can always be followed to the run that
// it comes from. Latencies are kept as whole HdrHistograms, so percentiles of several
// runs are never averaged: they are read again, or compared run by run.
package results
