// Package kafka answers to the names of Kafka's own tools. Each reads its options as
// Kafka 4.3 does, deprecated names and their warnings included, calls the packages
// that the sub-commands call too, and reports failure where and how scripts expect
// it: some tools print errors on standard output, some end with code 0 whatever
// happened.
//
//	argv[0] ──▶ Lookup ──▶ Tool ──▶ option.Parse ──▶ topics, groups, configs, console, perf, records, logdirs,
//	                                                 transactions, features, quorum, commitlog
//
// What they print is held against Apache Kafka's own tools (see TestTools). They
// differ from those on purpose in this:
//
//   - Rows come in order of name where Kafka's come in that of a hash table.
//   - No stack traces, no log lines of a client, no notice about KIP-848.
//   - A broker that does not answer is waited for 10 seconds, not 60
//     (default.api.timeout.ms sets it), and the error says what to try.
//   - kafka-console-consumer without --group is no member of any group: it starts
//     without a rebalance and leaves nothing behind.
//   - Keys and values pass as they are, UTF-8 or not; ByteArrayDeserializer prints the
//     bytes, and null is printed as the null literal whatever the deserializer.
//   - Regular expressions are RE2's: no look-ahead, no back references.
//   - A partition or topic that does not exist is told at once, where Kafka's admin
//     client asks for a minute whether it has come.
//   - remove-controller of kafka-metadata-quorum has no short options.
//   - kafka-dump-log knows --offsets-decoder, --transaction-log-decoder and
//     --cluster-metadata-decoder, no other decoder; the metadata is JSON of Millrace's own,
//     .snapshot files are Millrace's own; that a log does not begin with offset 0 is no
//     complaint.
//   - --print-metrics prints the few counters that this client has.
package kafka
