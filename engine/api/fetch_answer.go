package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/wire"
)

// refuse answers an error of the session.
func (f *fetchCall) refuse(err *kerr.Error) {
	f.targets = f.targets[:0]
	f.begin(wire.FetchHead{Error: err.Code})
	f.finish()
}

// answer sends what was found, once interceptors have seen it.
func (f *fetchCall) answer() {
	if f.filter() {
		return
	}
	head := wire.FetchHead{}
	if f.incremental != nil {
		head.SessionID = f.incremental.id
	}
	for i := range f.targets {
		t := &f.targets[i]
		t.silent = t.known != nil && !t.known.news(&t.result) && !f.full
	}
	head.Topics = f.groups(func(int, int) {})
	f.begin(head)
	f.groups(f.topic)
	f.finish()
}

// groups calls each for every run of targets of one topic that has something to tell,
// and returns how many runs there are.
func (f *fetchCall) groups(each func(begin, end int)) (count int) {
	for begin := 0; begin < len(f.targets); {
		end, tell := begin, false
		for ; end < len(f.targets) && f.targets[end].name == f.targets[begin].name && f.targets[end].id == f.targets[begin].id; end++ {
			tell = tell || !f.targets[end].silent
		}
		if tell {
			count++
			each(begin, end)
		}
		begin = end
	}
	return count
}

func (f *fetchCall) begin(head wire.FetchHead) {
	p := wire.AppendHeader(f.scratch[:0], f.correlation, f.version >= 12)
	f.scratch = wire.AppendFetchHead(p, f.version, head)
}

// topic appends one topic. Heads gather in scratch; before records they go to the slot.
func (f *fetchCall) topic(begin, end int) {
	told := 0
	for i := begin; i < end; i++ {
		if !f.targets[i].silent {
			told++
		}
	}
	first := &f.targets[begin]
	f.scratch = wire.AppendFetchTopic(f.scratch, f.version, first.name, first.id, told)
	for i := begin; i < end; i++ {
		t := &f.targets[i]
		if t.silent {
			continue
		}
		f.scratch = wire.AppendFetchResult(f.scratch, f.version, &t.result)
		if t.result.RecordBytes > 0 {
			f.slot.Write(f.scratch)
			f.scratch = f.scratch[:0]
			f.attach(t)
		}
		f.scratch = wire.AppendFetchResultEnd(f.scratch, f.version, &t.result)
	}
	f.scratch = wire.AppendFetchTopicEnd(f.scratch, f.version)
}

// attach hands the records of t to the slot, without reading them where that is
// possible: from the mapped segment, where heads and records of all partitions leave by
// one system call, else by sendfile. The segment stays until they are sent.
func (f *fetchCall) attach(t *target) {
	t.topic.Counts.Fetched(t.result.RecordBytes)
	if t.filtered != nil {
		f.attachFiltered(t)
		return
	}
	if t.part.past.Bytes > 0 {
		f.attachPast(t)
		return
	}
	t.has = false
	if p := t.found.File.Map(t.found.Position, t.found.Bytes); p != nil {
		f.slot.Attach(p, t.found.Segment)
		return
	}
	if fd := t.found.File.Fd(); fd >= 0 {
		f.slot.AttachFile(fd, t.found.Position, t.found.Bytes, t.found.Segment)
		return
	}
	f.copyRecords(&t.found)
}

// copyRecords is the way of records in a file that has no descriptor, as on a disk in
// memory. What cannot be read closes the connection: its length was promised already.
func (f *fetchCall) copyRecords(found *commitlog.Range) {
	records := make([]byte, found.Bytes)
	if _, err := found.File.ReadAt(records, found.Position); err != nil {
		f.conn.Close(fmt.Errorf("read %s at %d: %w", found.File.Name(), found.Position, err))
	}
	f.slot.Write(records)
	found.Release()
}

func (f *fetchCall) finish() {
	f.slot.Write(wire.AppendFetchEnd(f.scratch, f.version, nil))
	f.answered = true
	f.observe()
	f.slot.Send()
	f.endFilter()
	f.drop()
}
