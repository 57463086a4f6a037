// Package command is the command line of millrace: one program that serves, that
// manages any Kafka cluster, and that answers to the names of Kafka's own tools.
//
//	millrace topics list             sub-commands, one file each: flags → the package that does it
//	kafka-topics --list              argv[0]: package kafka → the same package
//
// Sub-commands print results on standard output and everything else on standard
// error, and end with 1 when something failed and 2 when they were called wrongly.
package command
