// Package topics creates, lists, describes, alters and deletes topics and tells
// the offsets of their partitions, printing what Kafka's tools print.
package topics
