// Package record encodes and decodes the records that describe a consumer group of
// KIP-848 on __consumer_offsets, in Kafka's own schemas (../FORMAT.md draws them): the
// generated code that does it for all other messages does not know these.
//
//	Key ◀──▶ bytes       Group, Member, Target, TargetMember, Current, Pattern ◀──▶ bytes
//
// A key says what a record is about; its value is nil for a tombstone. Decoding trusts
// nothing: lengths are checked before memory is taken, tagged fields that are not known
// are passed over, and an error leaves nothing half read.
package record
