package answers

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// masked are fields whose values differ from run to run, and what is written in their place.
var masked = map[string]string{
	"Port": "PORT", "ClusterID": "CLUSTER", "Dir": "FOLDER", "Size": "SIZE", "TotalBytes": "SIZE", "UsableBytes": "SIZE",
	"BrokerEpoch": "EPOCH", "IncarnationID": "ID", "SessionID": "SESSION",
}

// identity is an id that the broker made, as it is marked until it has a name.
var identity = regexp.MustCompile("\x00[^\x00]*\x00")

// uuid is an id in a text, such as a member's.
var uuid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// question is a request in one line, without the fields that are empty.
func (t *Talk) question(q kmsg.Request) string {
	return (&writer{talk: t, asks: true, flat: true}).fields(reflect.ValueOf(q).Elem(), "")
}

// answer is an answer: the plain fields in one line, and the lists below it.
func (t *Talk) answer(a kmsg.Response) string {
	return (&writer{talk: t}).fields(reflect.ValueOf(a).Elem(), "  ")
}

// A writer makes text of requests and answers.
type writer struct {
	talk *Talk
	asks bool // a request: nothing is masked
	flat bool // all in one line, and without what is empty
}

// fields writes the fields of a struct, each behind a space, and its lists of structs in lines below it.
func (w *writer) fields(v reflect.Value, indent string) string {
	var line, below strings.Builder
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch {
		case name == "Version" && i == 0 || name == "UnknownTags" || name == "ThrottleMillis" || w.flat && empty(f):
			continue
		case f.Kind() == reflect.Slice && structs(f.Type().Elem()) && !w.flat && f.Len() > 0:
			items := w.list(name, f, indent)
			if below.WriteString(items); items == "" { // all of them are apart
				line.WriteString(" " + name + "=null")
			}
		case f.Kind() == reflect.Pointer && !f.IsNil() && structs(f.Type().Elem()):
			fmt.Fprintf(&line, " %s={%s}", name, strings.TrimSpace((&writer{w.talk, w.asks, true}).fields(f.Elem(), "")))
		case f.Kind() == reflect.Struct:
			fmt.Fprintf(&line, " %s={%s}", name, strings.TrimSpace((&writer{w.talk, w.asks, true}).fields(f, "")))
		default:
			fmt.Fprintf(&line, " %s=%s", name, w.value(name, f))
		}
	}
	return line.String() + below.String()
}

func structs(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// empty reports whether a field of a request goes without saying.
func empty(f reflect.Value) bool {
	return f.IsZero() && f.Kind() != reflect.Pointer && f.Kind() != reflect.Slice
}

// list writes a list of structs, one below the other. Kafka's order is often that of a hash table, so they are sorted.
func (w *writer) list(name string, f reflect.Value, indent string) string {
	if slices.Contains(w.talk.mask, name) {
		return "\n" + indent + name + ": #"
	}
	var items []string
	for i := range f.Len() {
		if !apart(f.Index(i)) {
			items = append(items, "\n"+indent+name+":"+w.fields(f.Index(i), indent+"  "))
		}
	}
	key := w.talk.symbols.known
	slices.SortStableFunc(items, func(a, b string) int { return strings.Compare(key(a), key(b)) })
	return strings.Join(items, "")
}

// ours are settings that are known to differ and leave no client in doubt, wherever a list has them: what only Millrace
// has, and where Kafka has min.insync.replicas from, since it is founded with eligible leader replicas.
var ours = regexp.MustCompile(`^(flush\.mode|interceptors\..*|min\.insync\.replicas)$`)

// apart reports whether an entry of a list is one of those.
func apart(item reflect.Value) bool {
	name := item.FieldByName("Name")
	return name.Kind() == reflect.String && ours.MatchString(name.String())
}

// value is a field as text.
func (w *writer) value(name string, f reflect.Value) string {
	if f.Kind() == reflect.Pointer {
		if f.IsNil() {
			return "null"
		}
		f = f.Elem()
	}
	if !w.asks || name == "ProducerID" || name == "SessionID" {
		if text := w.masked(name, f); text != "" {
			return text
		}
	}
	switch f.Kind() {
	case reflect.String:
		return quote(f.String())
	case reflect.Slice:
		return w.slice(name, f)
	case reflect.Array:
		if f.IsZero() {
			return "0"
		}
		return "\x00id:" + base64.RawURLEncoding.EncodeToString(f.Slice(0, f.Len()).Bytes()) + "\x00"
	default:
		return fmt.Sprint(f.Interface())
	}
}

// masked is what is written in the place of a value that differs from run to run, and of codes; empty: the value is.
func (w *writer) masked(name string, f reflect.Value) string {
	const year2001 = 1e12 // in milliseconds
	switch {
	case name == "ErrorCode":
		return errorName(int16(f.Int()))
	case name == "ErrorMessage" && !w.talk.words:
		return "(words)"
	case slices.Contains(w.talk.mask, name):
		return "#"
	case f.Kind() == reflect.Int64 && f.Int() > year2001 && (name == "LogAppendTime" || strings.Contains(name, "Timestamp")):
		return "TIME"
	case name == "ProducerID" && f.Int() >= 0:
		return "\x00producer:" + strconv.FormatInt(f.Int(), 10) + "\x00"
	case masked[name] != "" && !f.IsZero() && (!f.CanInt() || f.Int() > 0):
		return masked[name]
	}
	return ""
}

// slice is a list of plain values, or bytes, or in a request a list of structs.
func (w *writer) slice(name string, f reflect.Value) string {
	switch {
	case f.IsNil():
		return "null"
	case name == "RecordBatches" || name == "Records" && f.Type().Elem().Kind() == reflect.Uint8:
		return batches(f.Bytes())
	case f.Type().Elem().Kind() == reflect.Uint8:
		return strconv.Quote(string(f.Bytes()))
	}
	if structs(f.Type().Elem()) && f.Len() > 50 {
		return fmt.Sprintf("[%d of them]", f.Len())
	}
	items := make([]string, f.Len())
	for i := range items {
		if structs(f.Type().Elem()) {
			items[i] = "{" + strings.TrimSpace(w.fields(f.Index(i), "")) + "}"
		} else {
			items[i] = w.value("", f.Index(i))
		}
	}
	return "[" + strings.Join(items, " ") + "]"
}

// quote leaves plain words alone, and marks ids in a text.
func quote(s string) string {
	if s == "" || strings.ContainsAny(s, " \"\x00\n=[]{}") || s == "null" || len(s) > 300 {
		if len(s) > 300 {
			s = fmt.Sprintf("%s… (%d bytes)", s[:20], len(s))
		}
		s = strconv.Quote(s)
	}
	return uuid.ReplaceAllString(s, "\x00uuid:$0\x00")
}

// batches are the heads of record batches.
func batches(b []byte) string {
	if b == nil {
		return "null"
	}
	var text []string
	for len(b) > 0 {
		var r kmsg.RecordBatch
		if err := r.ReadFrom(b); err != nil || len(b) < 12+int(r.Length) {
			text = append(text, fmt.Sprintf("%d bytes that are no batch", len(b)))
			break
		}
		text = append(text, fmt.Sprintf("{%d+%d records=%d epoch=%d magic=%d attributes=%d producer=\x00producer:%d\x00 epoch=%d sequence=%d bytes=%d}", r.FirstOffset, r.LastOffsetDelta, r.NumRecords,
			r.PartitionLeaderEpoch, r.Magic, r.Attributes, r.ProducerID, r.ProducerEpoch, r.FirstSequence, r.Length))
		b = b[12+r.Length:]
	}
	return "[" + strings.Join(text, " ") + "]"
}

// symbols are the names of the ids that a case has met, so that the same id has the same name wherever it is.
type symbols struct {
	names map[string]string // by their marks
	count map[string]int    // by kind
}

// name gives the ids in a text names, in the order in which they come.
func (s *symbols) name(text string) string {
	if s.names == nil {
		s.names, s.count = map[string]string{}, map[string]int{}
	}
	text = identity.ReplaceAllStringFunc(text, func(mark string) string {
		kind, value, _ := strings.Cut(strings.Trim(mark, "\x00"), ":")
		if kind == "producer" && value == "-1" {
			return value
		}
		if s.names[mark] == "" {
			s.count[kind]++
			s.names[mark] = fmt.Sprintf("%s-%d", strings.ToUpper(kind), s.count[kind])
		}
		return s.names[mark]
	})
	for mark, name := range s.names { // in words, Kafka writes ids in base 64
		if value, ok := strings.CutPrefix(strings.Trim(mark, "\x00"), "id:"); ok {
			text = strings.ReplaceAll(text, value, name)
		}
	}
	return text
}

// known replaces the ids in a text by the names that they have, and others by one that is the same for all.
func (s *symbols) known(text string) string {
	return identity.ReplaceAllStringFunc(text, func(mark string) string {
		if name := s.names[mark]; name != "" {
			return name
		}
		return "?"
	})
}
