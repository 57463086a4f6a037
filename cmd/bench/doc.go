// Package bench is the command line of the load generator: `millrace bench` and its
// sub-commands, and `millrace report`.
//
// It starts brokers to be measured as child processes of the same program, shows a run
// while it lasts, prints its table and writes its files. What is measured, and how, is in
// package loadgen; what is made of it in package results.
package bench
