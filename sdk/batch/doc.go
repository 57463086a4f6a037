// Package batch reads, checks and builds record batches of Kafka's message format
// version 2, the unit in which records are sent, stored and fetched.
//
//	 0  base offset            int64   ┐ the broker may rewrite these:
//	 8  length                 int32   │ bytes 0–15 lie outside the CRC
//	12  partition leader epoch int32   ┘
//	16  magic                  int8    always 2
//	17  CRC-32C                uint32  of everything from byte 21 to the end
//	21  attributes             int16   0–2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
//	23  last offset delta      int32
//	27  base timestamp         int64   milliseconds
//	35  max timestamp          int64   milliseconds
//	43  producer id            int64   −1 none
//	51  producer epoch         int16   −1 none
//	53  base sequence          int32   −1 none
//	57  records                int32   how many
//	61  records, compressed as one piece when a codec is set
//
// A Batch is a view of bytes that somebody else owns; nothing here keeps one.
// Source: https://kafka.apache.org/documentation/#recordbatch
package batch
