package commitlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// DumpOptions are those of kafka-dump-log.
type DumpOptions struct {
	// PrintDataLog prints the records with key and payload.
	PrintDataLog bool
	// DeepIteration prints the records without.
	DeepIteration bool
	// SkipRecordMetadata prints only key and payload of each record.
	SkipRecordMetadata bool
	// MaxBytes is how much of a log is read. Zero: all.
	MaxBytes int64
	// VerifyIndexOnly prints only where an index contradicts its log.
	VerifyIndexOnly bool
	// IndexSanityCheck prints only whether an index can be read.
	IndexSanityCheck bool
	// Decode is the text for key and value of a record; ok is false for one that it has
	// none for. Nil: they are UTF-8.
	Decode func(key, value []byte) (k, v string, ok bool)
	// Problems gets what is wrong between files and within them. Nil: where the rest goes.
	Problems io.Writer
}

// Dump prints a .log, .index, .timeindex, .txnindex or .snapshot file, all but the last as
// kafka-dump-log does.
func Dump(fs diskio.FS, path string, o DumpOptions, to io.Writer) error {
	w := bufio.NewWriter(to)
	if o.Problems == nil {
		o.Problems = w
	}
	err := dump(fs, path, o, w)
	if err != nil {
		err = fmt.Errorf("dump %s: %w", path, err)
	}
	return errors.Join(err, w.Flush())
}

func dump(fs diskio.FS, path string, o DumpOptions, w *bufio.Writer) error {
	fmt.Fprintf(w, "Dumping %s\n", path)
	suffix := filepath.Ext(path)
	if suffix == snapshotSuffix {
		return dumpSnapshot(fs, path, w)
	}
	base, ok := parseName(filepath.Base(path), suffix)
	if !ok {
		return errors.New("its name is not 20 digits and .log, .index, .timeindex, .txnindex or .snapshot")
	}
	switch suffix {
	case logSuffix:
		return (&dumper{w: w, o: o}).log(fs, path, base)
	case indexSuffix:
		return dumpIndex(fs, path, base, o, w)
	case timeSuffix:
		return dumpTimes(fs, path, base, o, w)
	case txnSuffix:
		data, err := diskio.ReadFile(fs, path)
		if err != nil {
			return err
		}
		all, err := decodeAborted(data, base)
		dumpAborted(all, func(format string, args ...any) { fmt.Fprintf(w, format, args...) })
		return err
	}
	return fmt.Errorf("files that end with %s are not known", suffix)
}

// openForWalk walks over a file outside of any log.
func openForWalk(fs diskio.FS, path string, base int64) (*walker, error) {
	f, err := fs.Open(path, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &walker{file: f, base: base, end: size}, nil
}

// dumper prints one log.
type dumper struct {
	w      *bufio.Writer
	o      DumpOptions
	before int64 // offset of the record before, or −1
	gaps   [][2]int64
}

func (d *dumper) log(fs diskio.FS, path string, base int64) error {
	walk, err := openForWalk(fs, path, base)
	if err != nil {
		return err
	}
	defer walk.file.Close() //nolint:errcheck // it was only read
	fmt.Fprintf(d.w, "Log starting offset: %d\n", base)
	body := reader{file: walk.file, end: walk.end}
	at := int64(0)
	d.before = -1
	most := walk.end
	if d.o.MaxBytes > 0 {
		most = min(most, d.o.MaxBytes)
	}
	for at < most {
		damage := (*Damage)(nil)
		if err := walk.load(at); errors.As(err, &damage) {
			break
		} else if err != nil {
			return err
		}
		b, err := body.read(at, walk.head.Size())
		if err != nil {
			return err
		}
		d.batch(b, at)
		if d.o.PrintDataLog || d.o.DeepIteration {
			if err := d.records(b); err != nil {
				fmt.Fprintf(d.w, "| the records cannot be read: %v\n", err)
			}
		} else {
			d.follow(b.BaseOffset(), b.LastOffset())
		}
		at = walk.next()
	}
	if at < walk.end && most == walk.end {
		fmt.Fprintf(d.w, "Found %d invalid bytes at the end of %s\n", walk.end-at, filepath.Base(path))
	}
	if len(d.gaps) > 0 {
		fmt.Fprintf(d.o.Problems, "Non-consecutive offsets in %s\n", whole(path))
		for _, gap := range d.gaps {
			fmt.Fprintf(d.o.Problems, "  %d is followed by %d\n", gap[0], gap[1])
		}
	}
	return nil
}

func (d *dumper) follow(first, last int64) {
	if d.before >= 0 && first != d.before+1 {
		d.gaps = append(d.gaps, [2]int64{d.before, first})
	}
	d.before = last
}

func timeName(b batch.Batch) string {
	if b.LogAppendTime() {
		return "LogAppendTime"
	}
	return "CreateTime"
}

func (d *dumper) batch(b batch.Batch, at int64) {
	horizon := "OptionalLong.empty"
	if b.Attributes()&0x40 != 0 {
		horizon = fmt.Sprintf("OptionalLong[%d]", b.BaseTimestamp())
	}
	fmt.Fprintf(d.w, "baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d "+
		"partitionLeaderEpoch: %d isTransactional: %t isControl: %t deleteHorizonMs: %s position: %d %s: %d size: %d magic: %d "+
		"compresscodec: %s crc: %d isvalid: %t\n",
		b.BaseOffset(), b.LastOffset(), b.Count(), b.BaseSequence(), b.LastSequence(), b.ProducerID(), b.ProducerEpoch(),
		b.LeaderEpoch(), b.Transactional(), b.Control(), horizon, at, timeName(b), b.MaxTimestamp(), b.Size(), b.Magic(),
		b.Codec(), b.CRC(), b.Verify() == nil)
}

// printed bounds the records that are shown, in bytes: of a larger one only its size is.
const printed = 64 << 20

func (d *dumper) records(b batch.Batch) error {
	records, err := batch.Scan(b, batch.ScanOptions{Max: batch.MaxPlain, Hold: printed})
	if err != nil {
		return err
	}
	defer records.Close()
	for records.Next() {
		head, r := records.Head(), records.Record()
		offset := b.BaseOffset() + int64(head.OffsetDelta)
		d.follow(offset, offset)
		if !d.o.SkipRecordMetadata {
			d.metadata(b, head, r, offset)
		}
		switch {
		case r == nil:
			fmt.Fprintf(d.w, " the record is larger than %d bytes and not shown", printed)
		case b.Control() && !d.o.SkipRecordMetadata:
			d.marker(r)
		case d.o.PrintDataLog && !b.Control():
			d.payload(r)
		}
		fmt.Fprintln(d.w)
	}
	return records.Err()
}

func (d *dumper) metadata(b batch.Batch, head *batch.RecordHead, r *batch.Record, offset int64) {
	timestamp, sequence := b.BaseTimestamp()+head.TimestampDelta, int32(-1)
	if b.LogAppendTime() {
		timestamp = b.MaxTimestamp()
	}
	if b.BaseSequence() >= 0 {
		sequence = batch.AddSequence(b.BaseSequence(), head.OffsetDelta)
	}
	var keys []string
	if r != nil {
		for _, h := range r.Headers {
			keys = append(keys, h.Key)
		}
	}
	fmt.Fprintf(d.w, "| offset: %d %s: %d keySize: %d valueSize: %d sequence: %d headerKeys: [%s]",
		offset, timeName(b), timestamp, head.KeySize, head.ValueSize, sequence, strings.Join(keys, ","))
}

// marker prints what ends a transaction.
func (d *dumper) marker(r *batch.Record) {
	if len(r.Key) < 4 {
		return
	}
	switch kind := binary.BigEndian.Uint16(r.Key[2:]); kind {
	case 0, 1:
		epoch := int32(-1)
		if len(r.Value) >= 6 {
			epoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
		}
		fmt.Fprintf(d.w, " endTxnMarker: %s coordinatorEpoch: %d", [2]string{"ABORT", "COMMIT"}[kind], epoch)
	default:
		fmt.Fprintf(d.w, " controlType: %d", kind)
	}
}

func (d *dumper) payload(r *batch.Record) {
	space := " "
	if d.o.SkipRecordMetadata {
		space = "| " // what else would be printed with the metadata
	}
	if d.o.Decode != nil {
		if k, v, ok := d.o.Decode(r.Key, r.Value); ok {
			fmt.Fprintf(d.w, "%skey: %s payload: %s", space, k, v)
			return
		}
	}
	if r.Key != nil {
		fmt.Fprintf(d.w, "%skey: %s", space, readable(r.Key))
		space = " "
	}
	if r.Value != nil {
		fmt.Fprintf(d.w, "%spayload: %s", space, readable(r.Value))
	}
}

// readable replaces each byte that is no UTF-8.
func readable(text []byte) string { return string([]rune(string(text))) }

// withLog opens the log that an index belongs to.
func withLog(fs diskio.FS, path, suffix string, base int64) (*walker, error) {
	return openForWalk(fs, strings.TrimSuffix(path, suffix)+logSuffix, base)
}

func dumpIndex(fs diskio.FS, path string, base int64, o DumpOptions, w *bufio.Writer) error {
	walk, err := withLog(fs, path, indexSuffix, base)
	if err != nil {
		return err
	}
	defer walk.file.Close() //nolint:errcheck // it was only read
	data, err := diskio.ReadFile(fs, path)
	if err != nil {
		return err
	}
	data, _ = splitIndex(data)
	entries, err := decodeOffsets(data, walk.end)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		fmt.Fprintf(w, "%s is empty.\n", path)
		return nil
	}
	if o.IndexSanityCheck {
		fmt.Fprintf(w, "%s passed sanity check.\n", path)
		return nil
	}
	var wrong []string
	for _, e := range entries {
		if err := walk.load(int64(e.position)); err != nil {
			return err
		}
		offset := base + int64(e.relative)
		if last := walk.head.LastOffset(); last != offset {
			wrong = append(wrong, fmt.Sprintf("  Index offset: %d, log offset: %d", offset, last))
		}
		if !o.VerifyIndexOnly {
			fmt.Fprintf(w, "offset: %d position: %d\n", offset, e.position)
		}
	}
	printMismatches(o.Problems, "Mismatches in :", path, wrong)
	return nil
}

func dumpTimes(fs diskio.FS, path string, base int64, o DumpOptions, w *bufio.Writer) error {
	data, err := diskio.ReadFile(fs, path)
	if err != nil {
		return err
	}
	times, err := decodeTimes(data)
	if err != nil {
		return err
	}
	if o.IndexSanityCheck {
		fmt.Fprintf(w, "%s passed sanity check.\n", path)
		return nil
	}
	walk, err := withLog(fs, path, timeSuffix, base)
	if err != nil {
		return err
	}
	defer walk.file.Close() //nolint:errcheck // it was only read
	var wrong []string
	largest, at, i := int64(-1), int64(0), 0
	for at < walk.end && i < len(times) {
		if err := walk.load(at); err != nil {
			return err
		}
		largest = max(largest, walk.head.MaxTimestamp())
		at = walk.next()
		for ; i < len(times) && base+int64(times[i].relative) <= walk.head.LastOffset(); i++ {
			if times[i].timestamp != largest {
				wrong = append(wrong, fmt.Sprintf("  Index timestamp: %d, log timestamp: %d", times[i].timestamp, largest))
			}
		}
	}
	for _, e := range times[i:] {
		wrong = append(wrong, fmt.Sprintf("  Index offset: %d, the log ends before", base+int64(e.relative)))
	}
	if !o.VerifyIndexOnly {
		for _, e := range times {
			fmt.Fprintf(w, "timestamp: %d offset: %d\n", e.timestamp, base+int64(e.relative))
		}
	}
	printMismatches(o.Problems, "Found timestamp mismatch in :", path, wrong)
	return nil
}

func printMismatches(w io.Writer, title, path string, wrong []string) {
	if len(wrong) > 0 {
		fmt.Fprintf(w, "%s%s\n%s\n", title, whole(path), strings.Join(wrong, "\n"))
	}
}

// whole is path from the root on, where that can be told.
func whole(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

func dumpSnapshot(fs diskio.FS, path string, w *bufio.Writer) error {
	data, err := diskio.ReadFile(fs, path)
	if err != nil {
		return err
	}
	offset, state, err := decodeSnapshot(data)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "offset: %d stateBytes: %d isvalid: true\n", offset, len(state))
	return nil
}
