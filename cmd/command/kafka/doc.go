// Package kafka answers to the names of Kafka's own tools. Each reads its options as
// Kafka 4.3 does, deprecated names and their warnings included, calls the packages
// that the sub-commands call too, and reports failure where and how scripts expect
// it: some tools print errors on standard output, some end with code 0 whatever
// happened.
//
//	argv[0] ──▶ Lookup ──▶ Tool ──▶ option.Parse ──▶ topics, groups, configs, console, perf
package kafka
