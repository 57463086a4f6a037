package commitlog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
)

// The files in testdata/kafka are of this package: all codecs, null keys and values,
// headers, transaction markers, both kinds of timestamps. The texts are what Apache Kafka
// 4.3.1 printed of them, without its complaint that offset −1 is followed by that of the
// first record of a later segment.
func TestDumpPrintsWhatKafkaPrints(t *testing.T) {
	data := DumpOptions{PrintDataLog: true}
	for text, o := range map[string]DumpOptions{
		"00000000000000000000.log.txt": data, "00000000000000000098.log.txt": data,
		"00000000000000000098.log.bare.txt":    {PrintDataLog: true, SkipRecordMetadata: true},
		"00000000000000000098.log.shallow.txt": {},
		"00000000000000000000.index.txt":       {}, "00000000000000000098.index.txt": {},
		"00000000000000000000.timeindex.txt": {}, "00000000000000000098.timeindex.txt": {},
	} {
		name, _, _ := strings.Cut(text, ".")
		suffix := strings.Split(text, ".")[1]
		want, err := os.ReadFile(filepath.Join("testdata/kafka", text))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := Dump(diskio.OS, filepath.Join("testdata/kafka", name+"."+suffix), o, &got); err != nil {
			t.Fatal(err)
		}
		printed := strings.ReplaceAll(got.String(), "testdata/kafka/", "")
		if printed != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", text, printed, want)
		}
	}
}

func TestDumpOfWhatIsDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		file  string
		spoil func([]byte) []byte
		o     DumpOptions
		want  string
		fails string
	}{
		"something at the end": {"00000000000000000000.log", func(p []byte) []byte { return append(p, 1, 2, 3) }, DumpOptions{}, "Found 3 invalid bytes at the end of 00000000000000000000.log\n", ""},
		"a flipped bit":        {"00000000000000000000.log", flip(-1), DumpOptions{PrintDataLog: true}, "isvalid: false\n", ""},
		"a wrong index":        {"00000000000000000000.index", flip(3), DumpOptions{VerifyIndexOnly: true}, "Mismatches in :/data/topic-0/00000000000000000000.index\n  Index offset: 16, log offset: 0\n", ""},
		"a wrong time index":   {"00000000000000000000.timeindex", flip(7), DumpOptions{VerifyIndexOnly: true}, "Found timestamp mismatch in :/data/topic-0/00000000000000000000.timeindex\n  Index timestamp: 1700000000016, log timestamp: 1700000000000\n", ""},
		"a sane index":         {"00000000000000000000.index", func(p []byte) []byte { return p }, DumpOptions{IndexSanityCheck: true}, "passed sanity check.\n", ""},
		"an index cut short":   {"00000000000000000000.index", func(p []byte) []byte { return p[:5] }, DumpOptions{}, "", "no whole entries"},
		"a snapshot":           {"00000000000000000008.snapshot", func(p []byte) []byte { return p }, DumpOptions{}, "offset: 8 stateBytes: 5 isvalid: true\n", ""},
		"a damaged snapshot":   {"00000000000000000008.snapshot", flip(-1), DumpOptions{}, "", "checksum"},
		"no file of a log":     {"leader-epoch-checkpoint", func(p []byte) []byte { return p }, DumpOptions{}, "", "20 digits"},
	} {
		t.Run(name, func(t *testing.T) {
			s := segments(t, keep())
			s.ok(s.log.WriteSnapshot(8, []byte("state")))
			s.close()
			s.spoil(test.file, test.spoil)
			var got bytes.Buffer
			err := Dump(s.fs, s.dir+"/"+test.file, test.o, &got)
			if test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) || test.fails == "" && err != nil {
				t.Fatalf("error %v, want %q", err, test.fails)
			}
			if !strings.HasSuffix(got.String(), test.want) && !strings.Contains(got.String(), test.want) {
				t.Fatalf("got %q, want %q", got.String(), test.want)
			}
		})
	}
}

func TestDumpDecodes(t *testing.T) {
	s := segments(t, keep())
	var got bytes.Buffer
	o := DumpOptions{PrintDataLog: true, MaxBytes: 1, Decode: func(key, value []byte) (string, string, bool) { return "K" + string(key), "V", true }}
	s.ok(Dump(s.fs, s.dir+"/00000000000000000000.log", o, &got))
	if !strings.HasSuffix(got.String(), "headerKeys: [] key: Kk0 payload: V\n") {
		t.Fatalf("got %q", got.String())
	}
}
