// Package groups lists, describes, resets and deletes consumer groups, printing
// what Kafka's tools print.
//
//	describe ──▶ description ──▶ rows ──▶ printed table
//	scope (topics) × scenario (to earliest, by duration, …) ──▶ plan ──▶ printed, exported, or committed
//
// What is asked of a broker and what is printed are apart, so that the formats
// are tested without one.
package groups
