// Package auditlog is an interceptor that writes down who wrote and who read: a line for each
// batch, no record in it.
//
//	interceptors.produce=audit-log
//	interceptors.fetch=audit-log
//	plugin.audit-log.config.file=audit.jsonl   lines of JSON are put behind those there, in plugin.dir of the
//	                                           broker; without it they go to the broker's own log
//
// A line says what was asked for, before the batch is stored or sent: what is refused behind
// this plugin is there too. A line that cannot be written is a fault, and with on.error=fail
// nothing is stored or sent that was not written down.
package auditlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/millrace/millrace/plugins/files"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Interceptors.Register("audit-log", New) }

type auditor struct {
	log  *slog.Logger
	file *os.File // nil: the broker's log
	last lastError
}

// lastError remembers what a writer has said, which slog keeps to itself.
type lastError struct {
	to  io.Writer
	err error
}

func (l *lastError) Write(p []byte) (int, error) {
	n, err := l.to.Write(p)
	l.err = err
	return n, err
}

// New makes an auditor.
func New(c sdk.Config) (sdk.Interceptor, error) {
	a := &auditor{log: slog.Default()}
	name, dir := c.String("file", ""), c.String("dir", "") // dir is the host's
	if name == "" || c.Err() != nil {
		return a, nil
	}
	file, err := files.Append(dir, name)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	a.file, a.last.to = file, file
	a.log = slog.New(slog.NewJSONHandler(&a.last, nil))
	return a, nil
}

// Close closes the file.
func (a *auditor) Close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// OnProduce writes down who writes.
func (a *auditor) OnProduce(b *sdk.Batch) error { return a.note("produce", b) }

// OnFetch writes down who reads.
func (a *auditor) OnFetch(b *sdk.Batch) error { return a.note("fetch", b) }

func (a *auditor) note(act string, b *sdk.Batch) error {
	fields := []slog.Attr{
		slog.String("api", act), slog.String("client", b.ClientID), slog.String("topic", b.Topic), slog.Int("partition", int(b.Partition)),
		slog.Int("records", b.Len()), slog.Int("bytes", len(b.Section())),
	}
	if act == "fetch" {
		fields = append(fields, slog.Int64("offset", b.Header.BaseOffset()))
	}
	if id := b.Header.ProducerID(); id >= 0 {
		fields = append(fields, slog.Int64("producer", id))
	}
	a.log.LogAttrs(context.Background(), slog.LevelInfo, "audit", fields...)
	if a.last.err != nil {
		return fmt.Errorf("write to the audit log: %w", a.last.err)
	}
	return nil
}
