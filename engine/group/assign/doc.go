// Package assign decides which member of a consumer group reads which partition. An
// assignor is a pure function from who subscribes to what, and who was meant to read what
// so far, to who shall read what:
//
//	members, topics ──▶ Uniform | Range ──▶ one Assignment for each member
//
// Uniform keeps as much as it can of what was before and makes the loads equal; Range
// gives every member the same neighbouring partitions of each topic, so that topics that
// are joined meet at one member.
//
// Both promise, whatever they are given:
//
//   - every partition of a topic that somebody subscribes to has exactly one member
//   - a member gets partitions only of topics that it subscribes to
//   - the same input gives the same output
//
// An Assignment is a value: no function of this package changes one that it was given, so
// that a target and what a member has of it may share memory.
package assign
