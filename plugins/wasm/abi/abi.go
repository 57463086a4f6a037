// Package abi is what host and guests say to each other, version 1. docs/wasm.md explains it.
//
// Numbers are little-endian. Guests export
//
//	memory
//	millrace_plugin_abi_v1    any function; it is not called
//	millrace_alloc_in         (bytes i32) → i32         where so many bytes of input may go
//	millrace_configure        (bytes i32) → i64         optional; input: settings
//	millrace_on_produce       (bytes i32) → i64         optional; input: a batch
//	millrace_on_fetch         (bytes i32) → i64         optional; the same
//	millrace_fail_closed      any function              optional; forbids on.error=skip
//	millrace_fields           any function              optional; batches say where fields are
//	_initialize               ()                        optional; called first
//
// and, for kinds of plugins that run in clients, instead of on_produce and on_fetch
//
//	millrace_partition        (bytes i32) → i64         input: a placement; answers the partition itself
//	millrace_on_new_batch     (bytes i32) → i64         optional; input: a batch that is full; answers 0
//	millrace_leader_racks     any function              optional; placements have racks
//	millrace_serialize        (bytes i32) → i64         input: a datum; answers a datum, of bytes
//	millrace_deserialize      (bytes i32) → i64         input: a datum, of bytes; answers a datum
//	millrace_assignor         (bytes i32) → i64         no input; answers what it is
//	millrace_assign           (bytes i32) → i64         input: a group; answers an assignment
//	millrace_user_data        (bytes i32) → i64         optional; input: a member; answers a datum
//	millrace_on_send          (bytes i32) → i64         input: a record; answers 0: it stays as it is, a record, or a fault
//	millrace_on_ack           (bytes i32) → i64         optional; input: what became of a record; answers 0
//	millrace_on_consume       (bytes i32) → i64         input: a record; answers as on_send, or a datum that is null: the record is left out
//	millrace_on_commit        (bytes i32) → i64         optional; input: what was committed; answers 0
//
// The i64 is 0, for nothing to say, or the address of the answer in its upper half and the
// length in its lower: for configure the text of an error, for a batch a list of edits.
//
// Settings, one after the other:
//
//	+0  length of key, u32 · key · length of value, u32 · value
//
// A batch, or a part of one that has many bytes:
//
//	 0  magic "MRB1"           u32
//	 4  where the names begin  u32   64 in this version
//	 8  records                u32   how many
//	12  bytes of records       u32
//	16  first record           u32   its place in the whole batch
//	20  partition              i32
//	24  base offset            i64
//	32  base timestamp         i64   milliseconds
//	40  max timestamp          i64
//	48  producer id            i64   −1 none
//	56  producer epoch         i16
//	58  attributes             u16   as in the header of a batch
//	60  length of topic        u16
//	62  length of client id    u16
//	64  topic · client id · records, as they are encoded in a batch, not compressed
//
// For a guest that exports millrace_fields the names begin further back, and before them is a
// table, so that it need not read the records:
//
//	64  where the table begins u32  72 in this version
//	68  bytes of a row         u32  16 in this version
//	72  row · row · …               one for each record
//
// A row says where in the records the key and the value of one of them are, and how long; the
// length of null is 0xffffffff:
//
//	+0  key u32 · its length u32 · value u32 · its length u32
//
// A list of edits, in the order of the records, one for each at most:
//
//	0  magic "MRE1"           u32
//	4  edits                  u32   how many
//	8  edit · edit · …
//
// An edit:
//
//	+0  record                 u32   its place in this part; 0xffffffff for Reject and Fault
//	+4  fate                   u8    1 edit, 2 drop, 3 route, 4 fail, 5 reject, 6 fault
//	+5  has                    u8    of edit: 1 key, 2 value, 4 headers instead, 8 headers more,
//	                                 16 the value as it now stands in the input
//	+6  zero                   u16
//	+8  of edit: key · value · headers, those that it has
//	    of route: the topic; of fail, reject and fault: the reason, at most 1024 bytes
//
// Keys, values, topics and reasons are a length u32 and bytes; the length of null is
// 0xffffffff. Headers are how many u32, then key · value of each: 1024 more than came at most, of
// keys that are UTF-8 or came with the record. Reject and fault are alone in their list. A guest
// that exports millrace_fields may write over a value in its input, which is not null and keeps
// its length, and say so with 16, for which nothing follows.
//
// A placement:
//
//	 0  magic "MRP1"           u32
//	 4  where the rest begins  u32   24 in this version
//	 8  partitions             u32   how many the topic has
//	12  available              u32   how many have a leader
//	16  racks                  u32   how many follow: 0, or as many as partitions
//	20  zero                   u32
//	24  topic · key · value · available partitions u32, ascending · racks of their leaders
//
// A batch that is full: partition u32, then the topic.
//
// A datum is a key or value, as a program has it or as a record does:
//
//	 0  magic "MRD1"           u32
//	 4  where the rest begins  u32   24 in this version
//	 8  form                   u32   0 null, 1 bytes, 2 text, 3 integer, 4 unsigned, 5 float, 6 boolean,
//	                                 7 JSON; in answers 8 fault: what follows is the reason
//	12  bytes of it            u32
//	16  headers                u32   how many; in answers 0xffffffff: as they were
//	20  bytes of the topic     u32   0 in answers
//	24  the datum itself · headers · topic
//
// Integers and floats have 8 bytes, booleans one. Keys of headers are text.
//
// What an assignor is: protocol u32 (0 eager, 1 cooperative), then its name.
//
// A group:
//
//	 0  magic "MRG1"           u32
//	 4  where the rest begins  u32   16 in this version
//	 8  members                u32
//	12  topics                 u32
//	16  member · … · topic · …
//
// A member is its id · instance id · rack · generation i32 · topics: how many u32, then
// each · owned: how many u32, then topic · partition u32 of each · user data. A topic is its
// name · partitions u32. The input of user_data is topics · owned.
//
// An assignment: magic "MRA1" u32, members u32, then of each its id and, how many u32, topic ·
// partition u32 of what it gets. A fault is a datum.
//
// A record of a client, with its key and value as the program has them:
//
//	 0  magic "MRR1"           u32
//	 4  where the rest begins  u32   56 in this version
//	 8  partition              i32   −1 not chosen
//	12  form of the key        u32   as of a datum, without fault
//	16  offset                 i64   −1 none
//	24  timestamp              i64   milliseconds; the least number: none
//	32  bytes of the key       u32
//	36  form of the value      u32
//	40  bytes of the value     u32
//	44  headers                u32   how many; in answers 0xffffffff: as they were
//	48  bytes of the topic     u32
//	52  zero                   u32
//	56  key · value · headers · topic
//
// What became of a record:
//
//	 0  magic "MRK1"           u32
//	 4  where the rest begins  u32   40 in this version
//	 8  partition              i32
//	12  failed                 u32   0 or 1
//	16  offset                 i64
//	24  timestamp              i64
//	32  bytes of the topic     u32
//	36  bytes of the error     u32
//	40  topic · error
//
// What was committed:
//
//	 0  magic "MRC1"           u32
//	 4  where the rest begins  u32   16 in this version
//	 8  partitions             u32
//	12  zero                   u32
//	16  of each: topic · partition u32 · offset i64 · leader epoch i32 · metadata
package abi

// Magics begin what is said.
const (
	BatchMagic = 0x3142524d
	EditsMagic = 0x3145524d
	PlaceMagic = 0x3150524d
	DatumMagic = 0x3144524d
	GroupMagic = 0x3147524d
	DealtMagic = 0x3141524d

	RecordMagic = 0x3152524d
	AckMagic    = 0x314b524d
	CommitMagic = 0x3143524d
)

// Where the rest of a placement, a datum, a group, a record, of what became of it and of what was
// committed begins.
const (
	PlaceSize  = 24
	DatumSize  = 24
	GroupSize  = 16
	RecordSize = 56
	AckSize    = 40
	CommitSize = 16
)

// NoTime is the timestamp of a record that has none.
const NoTime = -1 << 63

// Form is how a key or value is written down.
type Form uint32

// The forms.
const (
	FormNull Form = iota
	FormBytes
	FormText
	FormInteger
	FormUnsigned
	FormFloat
	FormBoolean
	FormJSON
	FormFault // of answers
)

// HeaderSize is the size in bytes of what stands before the names of a batch, FieldsAt of what
// stands before its table of fields, and RowSize that of a row of it.
const (
	HeaderSize = 64
	FieldsAt   = 72
	RowSize    = 16
)

// Null is the length of what is null, and the record of what is about the whole batch.
const Null = 1<<32 - 1

// MaxReason is the most bytes of a reason.
const MaxReason = 1 << 10

// The fates of a record, or of the batch.
const (
	Edit   = 1
	Drop   = 2
	Route  = 3
	Fail   = 4
	Reject = 5
	Fault  = 6
)

// What an edit has.
const (
	HasKey     = 1
	HasValue   = 2
	HasHeaders = 4
	AddHeaders = 8
	InPlace    = 16 // its value, in the input
)

// The names of what guests export.
const (
	Marker     = "millrace_plugin_abi_v1"
	Alloc      = "millrace_alloc_in"
	Configure  = "millrace_configure"
	OnProduce  = "millrace_on_produce"
	OnFetch    = "millrace_on_fetch"
	FailClosed = "millrace_fail_closed"
	Fields     = "millrace_fields"
	Initialize = "_initialize" // of WASI reactors

	Partition   = "millrace_partition"
	OnNewBatch  = "millrace_on_new_batch"
	LeaderRacks = "millrace_leader_racks"
	Serialize   = "millrace_serialize"
	Deserialize = "millrace_deserialize"
	Assignor    = "millrace_assignor"
	Assign      = "millrace_assign"
	UserData    = "millrace_user_data"
	OnSend      = "millrace_on_send"
	OnAck       = "millrace_on_ack"
	OnConsume   = "millrace_on_consume"
	OnCommit    = "millrace_on_commit"
)
