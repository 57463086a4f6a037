// Package limits measures what Millrace promises, row by row: what a gigabyte costs, how
// late an acknowledgement is, how fast a broker starts, what ten thousand connections take.
//
// A row is one file in rows/: two YAML documents. The first says what is bounded, on which
// sides it is measured (brokers, with settings) and what limits it now, in words for
// BENCHMARKS.md. The second is a workload as `millrace bench run` takes it; a row that
// probes a broker instead may have one to fill it.
//
//	row file ──▶ sides, in turn, repeat after repeat ──▶ results/*.json ──▶ results.Limit.Judge
//
// Brokers are child processes (package peers). A row that fails is reported and the next
// one is begun: hours of measuring are not lost for it.
package limits
