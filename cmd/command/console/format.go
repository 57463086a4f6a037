package console

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Formatter prints one record.
type Formatter interface {
	Write(w *bufio.Writer, r *kgo.Record) error
}

// NewFormatter finds a formatter by its Java class and sets it up. Properties are
// those of Kafka's formatters: print.key, key.separator and so on.
func NewFormatter(class string, properties map[string]string) (Formatter, error) {
	switch class[strings.LastIndexByte(class, '.')+1:] {
	case "", "DefaultMessageFormatter", "LoggingMessageFormatter":
		return newColumns(properties)
	case "NoOpMessageFormatter":
		return nothing{}, nil
	case "OffsetsMessageFormatter":
		return coordinator{offsets: true, lines: !strings.Contains(class, ".")}, nil
	case "GroupMetadataMessageFormatter":
		return coordinator{lines: !strings.Contains(class, ".")}, nil
	}
	return nil, fmt.Errorf("formatter %s is not known: expected org.apache.kafka.tools.consumer. followed by DefaultMessageFormatter, "+
		"LoggingMessageFormatter, NoOpMessageFormatter, OffsetsMessageFormatter or GroupMetadataMessageFormatter", class)
}

// nothing prints nothing: consuming is all that is wanted.
type nothing struct{}

func (nothing) Write(*bufio.Writer, *kgo.Record) error { return nil }

// columns prints what is asked for, in the order that Kafka's formatter has.
type columns struct {
	timestamp, partition, offset, delivery, epoch, headers, key, value bool

	separator, line, headerSeparator, null string

	keyDeserializer, valueDeserializer, headersDeserializer deserializer
}

func newColumns(properties map[string]string) (*columns, error) {
	c := &columns{value: true, separator: "\t", line: "\n", headerSeparator: ",", null: "null"}
	for name, at := range map[string]*bool{
		"print.timestamp": &c.timestamp, "print.partition": &c.partition, "print.offset": &c.offset, "print.delivery": &c.delivery,
		"print.epoch": &c.epoch, "print.headers": &c.headers, "print.key": &c.key, "print.value": &c.value,
	} {
		if text, ok := properties[name]; ok {
			*at = isTrue(text)
		}
	}
	for name, at := range map[string]*string{
		"key.separator": &c.separator, "line.separator": &c.line, "headers.separator": &c.headerSeparator, "null.literal": &c.null,
	} {
		if text, ok := properties[name]; ok {
			*at = text
		}
	}
	for name, at := range map[string]*deserializer{
		"key.deserializer": &c.keyDeserializer, "value.deserializer": &c.valueDeserializer, "headers.deserializer": &c.headersDeserializer,
	} {
		if class := properties[name]; class != "" {
			found, err := findDeserializer(class)
			if err != nil {
				return nil, err
			}
			*at = found
		}
	}
	return c, nil
}

func isTrue(text string) bool { return strings.EqualFold(strings.TrimSpace(text), "true") }

// Write prints the columns with separators between them. The line ends behind the
// last column, whichever it is.
func (c *columns) Write(w *bufio.Writer, r *kgo.Record) error {
	shown := 0
	next := func(wanted bool) bool {
		if wanted && shown > 0 {
			w.WriteString(c.separator) //nolint:errcheck // the writer remembers
		}
		if wanted {
			shown++
		}
		return wanted
	}
	var failed error
	text := func(s string) { w.WriteString(s) } //nolint:errcheck // the writer remembers
	if next(c.timestamp) {
		text(timestamp(r))
	}
	if next(c.partition) {
		text("Partition:" + strconv.Itoa(int(r.Partition)))
	}
	if next(c.offset) {
		text("Offset:" + strconv.FormatInt(r.Offset, 10))
	}
	if next(c.delivery) {
		text("Delivery:NOT_PRESENT") // counted in share groups only
	}
	if next(c.epoch) {
		text("Epoch:" + epoch(r.LeaderEpoch))
	}
	if next(c.headers) {
		failed = c.writeHeaders(w, r.Headers)
	}
	if failed == nil && next(c.key) {
		failed = c.writeField(w, c.keyDeserializer, r.Key)
	}
	if failed == nil && next(c.value) {
		failed = c.writeField(w, c.valueDeserializer, r.Value)
	}
	if failed == nil && shown > 0 {
		text(c.line)
	}
	return failed
}

func timestamp(r *kgo.Record) string {
	switch r.Attrs.TimestampType() {
	case 0:
		return "CreateTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10)
	case 1:
		return "LogAppendTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10)
	}
	return "NO_TIMESTAMP"
}

func epoch(epoch int32) string {
	if epoch < 0 {
		return "NOT_PRESENT"
	}
	return strconv.Itoa(int(epoch))
}

func (c *columns) writeHeaders(w *bufio.Writer, headers []kgo.RecordHeader) error {
	if len(headers) == 0 {
		w.WriteString("NO_HEADERS") //nolint:errcheck // the writer remembers
	}
	for i, h := range headers {
		if i > 0 {
			w.WriteString(c.headerSeparator) //nolint:errcheck // the writer remembers
		}
		w.WriteString(h.Key + ":") //nolint:errcheck // the writer remembers
		if err := c.writeField(w, c.headersDeserializer, h.Value); err != nil {
			return err
		}
	}
	return nil
}

// writeField prints one field. What is null is printed as the null literal; Kafka
// gives the literal to the deserializer, which makes numbers of its letters.
func (c *columns) writeField(w *bufio.Writer, d deserializer, p []byte) error {
	if p == nil {
		w.WriteString(c.null) //nolint:errcheck // the writer remembers
		return nil
	}
	if d != nil {
		var err error
		if p, err = d(p); err != nil {
			return err
		}
	}
	w.Write(p) //nolint:errcheck // the writer remembers
	return nil
}
