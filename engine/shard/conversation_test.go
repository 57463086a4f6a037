package shard

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestConversations plays testdata/conversations: lives of partition 0 of topic t on a disk in
// memory. Nothing is synced before the script says so, and every append tells of its end
// in the command that brought it about.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		memory := diskio.NewMemory()
		syncer := &handSyncer{}
		s := &story{house: newHouse(t, memory, syncer), memory: memory, syncer: syncer}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.run(t, d)
			s.settled()
			return s.ends() + out + s.log.take()
		})
	})
}

type story struct {
	*house
	memory  *diskio.Memory
	syncer  *handSyncer
	topic   *Topic
	now     *Replica
	waiting []*sent
	names   []string
	fetch   *waiter
}

func arg(t *testing.T, d *datadriven.TestData, key string, otherwise int64) int64 {
	value := otherwise
	if d.HasArg(key) {
		var text string
		d.ScanArgs(t, key, &text)
		if _, err := fmt.Sscan(text, &value); err != nil {
			d.Fatalf(t, "%s: %v", key, err)
		}
	}
	return value
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "topic":
		settings := testSettings(!d.HasArg("os"))
		settings.Log.SegmentBytes = arg(t, d, "segment-bytes", 0)
		settings.Log.RetentionBytes = arg(t, d, "retention-bytes", -1)
		s.topic = s.house.topic("t", byte(arg(t, d, "id", 1)), 1, settings)
		s.now = s.topic.Replica(0)
	case "configure":
		settings := *s.topic.Settings()
		settings.Commit = !d.HasArg("os")
		settings.Log.SyncOnRoll, settings.Partition.Unsynced = settings.Commit, !settings.Commit
		s.topic.Configure(&settings)
	case "produce":
		s.produce(t, d)
	case "together": // several batches in one turn of the shard
		release := park(s.shard) // in a turn of its own, so that what is posted now shares the next
		for line := range strings.Lines(d.Input) {
			s.name(strings.TrimSpace(line), send(s.now, records(t, batch.NoProducer(), strings.Fields(line)...)))
		}
		if d.HasArg("delete") {
			s.shard.Do(s.now.Delete)
		}
		release()
	case "sync":
		return fmt.Sprintf("%d syncs\n", s.sync(t, d))
	case "disk":
		s.fault(t, d)
	case "wait":
		s.fetch = newWaiter(s.now, arg(t, d, "bytes", 1), s.clock.now().Add(time.Hour))
		s.fetch.begin()
	case "read":
		return s.read()
	case "offsets":
		return s.offsets()
	case "delete-records":
		var start int64
		var err error
		s.shard.Wait(func() { start, err = s.now.DeleteRecords(arg(t, d, "before", -1)) })
		return fmt.Sprintf("start %d, %s\n", start, told(err))
	case "retain":
		s.shard.Wait(func() { s.now.Retain(s.clock.now()) })
	case "delete":
		s.shard.Do(s.now.Delete)
	case "power-cut", "kill", "stop", "retire":
		return s.end(t, d)
	case "start":
		s.house.open(d.HasArg("clean"), nil)
	case "files":
		return s.list(t)
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return ""
}

func (s *story) name(name string, a *sent) {
	s.names, s.waiting = append(s.names, name), append(s.waiting, a)
}

func (s *story) produce(t *testing.T, d *datadriven.TestData) {
	o := batch.NoProducer()
	if o.ProducerID = arg(t, d, "producer", -1); o.ProducerID >= 0 {
		o.ProducerEpoch, o.BaseSequence = int16(arg(t, d, "epoch", 0)), int32(arg(t, d, "seq", 0))
	}
	var text []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			text = append(text, a.Key)
		}
	}
	s.name(strings.Join(text, " "), send(s.now, records(t, o, text...)))
}

func (s *story) sync(t *testing.T, d *datadriven.TestData) int {
	n := s.syncer.release()
	s.settled()
	if d.HasArg("all") {
		for more := n; more > 0; n += more {
			more = s.syncer.release()
			s.settled()
		}
	}
	return n
}

func (s *story) fault(t *testing.T, d *datadriven.TestData) {
	errs := map[string]error{"no": nil, "EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "space":
			s.memory.SetSpace(arg(t, d, "space", -1))
		case "sync-fails":
			s.memory.FailSync(errs[a.Vals[0]])
		case "write-fails":
			s.memory.FailWrite(errs[a.Vals[0]])
		}
	}
}

func (s *story) read() string {
	s.shard.Wait(s.now.Settle)
	all, err := values(s.now)
	return fmt.Sprintf("%s %s\n", strings.Join(all, " "), told(err))
}

func (s *story) offsets() string {
	end := int64(-1)
	if log := s.now.log.Load(); log != nil {
		end = log.End()
	}
	return fmt.Sprintf("start %d, high watermark %d, durable %d, end %d, committed bytes %d\n",
		s.now.Start(), s.now.HighWatermark(), s.now.Durable(), end, s.now.Committed())
}

// end ends a life: by a loss of power, a kill, or in good order.
func (s *story) end(t *testing.T, d *datadriven.TestData) string {
	out := ""
	if d.Cmd == "stop" || d.Cmd == "retire" {
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() { // the disk goes on while the broker stops
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				default:
					s.syncer.release()
				}
			}
		}()
		if d.Cmd == "stop" {
			out = told(s.stop()) + "\n"
		} else {
			out = told(s.retire()) + "\n"
		}
		close(stop)
		<-ended
	} else {
		s.shard.Stop()
		s.disk.Release()
		if d.Cmd == "power-cut" {
			s.memory.Crash()
		}
		s.syncer.held = nil
		s.waiting, s.names = nil, nil
	}
	return out
}

// ends tells what has ended since it was asked last.
func (s *story) ends() string {
	var out strings.Builder
	var names []string
	var waiting []*sent
	for i, a := range s.waiting {
		switch {
		case !a.done():
			names, waiting = append(names, s.names[i]), append(waiting, a)
		case a.Err != nil:
			fmt.Fprintf(&out, "%s: %s\n", s.names[i], told(a.Err))
		default:
			fmt.Fprintf(&out, "%s: acknowledged at offset %d\n", s.names[i], a.Base)
		}
	}
	s.names, s.waiting = names, waiting
	if len(names) > 0 {
		fmt.Fprintf(&out, "waiting: %s\n", strings.Join(names, ", "))
	}
	if s.fetch != nil && s.fetch.wokenNow() {
		out.WriteString("the fetch is woken\n")
		s.fetch.End()
		s.fetch = nil
	}
	return out.String()
}

var digits32 = regexp.MustCompile(`[0-9a-f]{32}`)

func (s *story) list(t *testing.T) string {
	names, err := s.memory.ReadDir("/data")
	if err != nil {
		t.Fatal(err)
	}
	return digits32.ReplaceAllString(strings.Join(names, "\n"), "…") + "\n"
}

func told(err error) string {
	if err == nil {
		return "ok"
	}
	return digits32.ReplaceAllString(err.Error(), "…")
}
