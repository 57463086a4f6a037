// Package peers starts real brokers as child processes, to be measured: Millrace itself,
// and an Apache Kafka that it fetches from Maven Central.
//
// A broker that was started here listens on loopback, keeps its data in a folder of its
// own and does not outlive the process that started it.
package peers
