package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
)

// TestConversations runs the scripts in testdata/conversations: lives of one node on one
// disk. What the node logs at warning and above is part of the answer.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		s := &story{disk: diskio.NewMemory()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.log.Reset()
			answer := s.run(t, d)
			if s.q != nil {
				if err := s.q.Image().Check(); err != nil {
					t.Fatalf("%s: %v", d.Pos, err)
				}
			}
			return s.log.String() + answer + "\n"
		})
	})
}

type story struct {
	disk *diskio.Memory
	q    *Quorum
	log  bytes.Buffer // written by the owner goroutine before it answers
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "open":
		return s.open(t, d)
	case "create":
		var answers []string
		for _, arg := range d.CmdArgs {
			_, err := do(s.q, create(arg.Key))
			if errors.Is(err, ErrStopped) {
				<-s.q.Done()
			}
			answers = append(answers, fmt.Sprintf("%s: %s", arg.Key, told(err)))
		}
		return strings.Join(answers, "\n")
	case "close":
		return "closed: " + told(s.q.Close())
	case "power-cut":
		s.disk.Crash()
		return s.files(t)
	case "sync-fails", "disk-full":
		for _, arg := range d.CmdArgs {
			fails := map[string]error{"yes": syscall.EIO, "no": nil}[arg.Key]
			if d.Cmd == "sync-fails" {
				s.disk.FailSync(fails)
			} else if s.disk.FailWrite(nil); fails != nil {
				s.disk.FailWrite(syscall.ENOSPC)
			}
		}
		return "so be it"
	case "flip":
		flip(t, s.disk, d.CmdArgs[0].Key)
		return "flipped"
	case "files":
		return s.files(t)
	case "show":
		return string(cluster.Append(nil, s.q.Image().Records())) + "\n" + fmt.Sprintf("%+v", s.q.Status())
	}
	d.Fatalf(t, "unknown command %q", d.Cmd)
	return ""
}

func (s *story) open(t *testing.T, d *datadriven.TestData) string {
	o := testOptions(s.disk)
	o.Log = slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	var node int
	d.MaybeScanArgs(t, "node", &node)
	if node > 0 {
		o.NodeID = int32(node)
	}
	var snapshot int
	if d.MaybeScanArgs(t, "snapshot-bytes", &snapshot) {
		o.SnapshotBytes = int64(snapshot)
	}
	q, err := Open(o)
	if err != nil {
		s.q = nil
		return err.Error()
	}
	s.q = q
	register(t, q)
	return fmt.Sprintf("%+v, topics %v", q.Status(), topics(q.Image()))
}

// files lists what is in the folder of the metadata log.
func (s *story) files(t *testing.T) string {
	t.Helper()
	names, err := s.disk.ReadDir("/data/" + logFolder)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func told(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, ErrStopped):
		return "stopped: " + err.Error()
	}
	return err.Error()
}
