// Package diskio is every file operation of the broker. It knows bytes and file
// descriptors, nothing of Kafka.
//
//	FS, File   what the broker needs of a file system: OS is the real one, Memory one
//	           that tests can crash
//	Trace      what was done to a Memory; Images are all that a loss of power may leave
//	Syncer     gathers requests for fdatasync: one sync serves all who wait for a file,
//	           and the first that fails stops the disk for good
//	Journal    makes bytes of many files durable with one sync, in files of its own that
//	           are used again and again (FORMAT.md); the files themselves follow later
//	Reserved   keeps a little space back for what must be written on a full disk
//	Readers    read for those who must not wait for the disk
//	Chunks     hold what is read past the page cache for who is far behind; ColdReader
//	           reads one file so, from its beginning to its end
//	PageCache  writes behind, and bounds what stays of appended files in memory
//	WriteFile  replaces a small file so that it has its old or its new content, never
//	           a mixture
//
// What durable means here, on OS and on Memory alike: written bytes survive a loss of
// power once Sync of their file returned; a file that was made, renamed or removed stays
// so once SyncDir of its folder returned; a folder that MkdirAll made stays at once.
package diskio
