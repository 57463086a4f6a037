package fuzz

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// planted has the target below fail on purpose. Only a process that a test starts has it.
const planted = "MILLRACE_FUZZ_PLANTED"

// FuzzInput reads what is in a corpus, and writes it again.
func FuzzInput(f *testing.F) {
	if os.Getenv(planted) == "together" {
		plantTogether(f)
		return
	}
	f.Add([]byte("go test fuzz v1\n[]byte(\"abc\")\nint32(-5)\n"), int32(1))
	f.Add([]byte("go test fuzz v1\nstring(\"\\x00\")\nfloat64(NaN)\n"), int32(100))
	types := [][]reflect.Type{{reflect.TypeFor[[]byte](), reflect.TypeFor[int32]()}, {reflect.TypeFor[string](), reflect.TypeFor[float64]()}}
	Run(f, func(t *testing.T, text []byte, number int32) {
		plant(t, text, number)
		for _, types := range types {
			input, err := decode(text, types)
			if err != nil {
				continue
			}
			written := encode(input)
			again, err := decode(written, types)
			if err != nil || !bytes.Equal(encode(again), written) {
				t.Fatalf("%q is written as %q, and read as %+v, %v", text, written, again, err)
			}
		}
	})
}

var kept []byte

func plant(t *testing.T, text []byte, number int32) {
	hit := number == math.MaxInt32 && len(text) > 4
	switch what := os.Getenv(planted); {
	case !hit || what == "":
	case what == "panic":
		panic("planted")
	case what == "failure":
		t.Fatal("planted")
	case what == "error":
		t.Error("planted")
	case what == "memory":
		kept = make([]byte, mostBytes+1)
	}
}

// plantTogether fails at the end of executions one of which had a long input.
func plantTogether(f *testing.F) {
	f.Add([]byte("abc"))
	long := false
	RunTogether(f, 16, func(_ *testing.T, text []byte) { long = long || len(text) > 100 }, func(t testing.TB) {
		if long {
			t.Fatal("planted")
		}
	})
}

// child plays FuzzInput in a process and a folder of its own.
func child(t *testing.T, folder string, variables ...string) (string, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-test.run", "^FuzzInput$")
	c.Dir = folder
	c.Env = append(os.Environ(), variables...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// What is planted is found, the file that is written replays it, and without the plant it passes.
func TestFindsWhatIsPlanted(t *testing.T) {
	for what, says := range map[string]string{"panic": "planted", "failure": "planted", "error": "planted", "memory": "it allocates"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			report := filepath.Join(folder, "report")
			out, err := child(t, folder, planted+"="+what, Executions+"=1000000", Report+"="+report)
			if err == nil || !strings.Contains(out, says) || !strings.Contains(out, "Failing input written to") {
				t.Fatalf("it was not found: %v\n%s", err, out)
			}
			p, err := ReadProgress(report)
			if err != nil || p.Ended || p.Executions == 0 || len(p.Findings) != 1 {
				t.Fatalf("it reports %+v, %v", p, err)
			}
			if what != "memory" { // which only Run looks at
				if out, err = child(t, folder, planted+"="+what); err == nil || !strings.Contains(out, filepath.Base(p.Findings[0])) {
					t.Fatalf("go test does not replay it: %v\n%s", err, out)
				}
			}
			if out, err = child(t, folder); err != nil {
				t.Fatalf("it fails without the plant: %v\n%s", err, out)
			}
		})
	}
}

// What is found at an end that several executions share is found again one by one, and its input is kept.
func TestFindsWhichOfSeveral(t *testing.T) {
	folder := t.TempDir()
	report := filepath.Join(folder, "report")
	many := []string{planted + "=together", Executions + "=100000", Report + "=" + report}
	out, err := child(t, folder, many...)
	if p, readErr := ReadProgress(report); err == nil || !strings.Contains(out, OneByOne) || readErr != nil || p.Ended || len(p.Findings) > 0 {
		t.Fatalf("%+v, %v, %v\n%s", p, readErr, err, out)
	}
	out, err = child(t, folder, append(many, Careful+"="+filepath.Join(folder, "input"))...)
	p, readErr := ReadProgress(report)
	if err == nil || readErr != nil || len(p.Findings) != 1 {
		t.Fatalf("%+v, %v, %v\n%s", p, readErr, err, out)
	}
	if out, err = child(t, folder, planted+"=together"); err == nil || !strings.Contains(out, filepath.Base(p.Findings[0])) {
		t.Fatalf("go test does not replay it: %v\n%s", err, out)
	}
}

// A run that is stopped goes on where it was, and one that has had its executions has none.
func TestGoesOn(t *testing.T) {
	folder := t.TempDir()
	report := filepath.Join(folder, "report")
	for _, n := range []string{"1000", "3000", "3000"} {
		if out, err := child(t, folder, Executions+"="+n, Report+"="+report); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	p, err := ReadProgress(report)
	if err != nil || p.Executions != 3000 || !p.Ended || p.Corpus != 2 || p.Seed != 1 || p.Target != "FuzzInput" {
		t.Fatalf("it reports %+v, %v", p, err)
	}
}

// everyType is an input with each type that Go's fuzzing knows.
func everyType() []value {
	var input []value
	for _, v := range []any{
		[]byte("a\x00\"b\xff\n"), "text \\ \u2028", true, byte(7), int8(-8), int16(-300), rune('x'), int(-9), int64(math.MinInt64),
		uint(1), uint16(65535), uint32(1 << 31), uint64(math.MaxUint64), float32(1.5), math.Inf(-1), float32(math.NaN()), math.NaN(), math.Copysign(0, -1),
	} {
		input = append(input, valueOf(reflect.ValueOf(v)))
	}
	return input
}

func typesOf(input []value) (types []reflect.Type) {
	for _, a := range input {
		types = append(types, a.of)
	}
	return types
}

func TestEveryTypeIsWrittenAndRead(t *testing.T) {
	input := everyType()
	text := encode(input)
	again, err := decode(text, typesOf(input))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for i, a := range again {
		if !bytes.Equal(a.text, input[i].text) || math.Float64bits(a.number2()) != math.Float64bits(input[i].number2()) {
			t.Errorf("%+v is read as %+v in\n%s", input[i], a, text)
		}
	}
}

// number2 is a number in its own width.
func (a value) number2() float64 {
	switch v := a.argument(); {
	case isText(a.of), a.of.Kind() == reflect.Bool:
		return 0
	case v.CanFloat():
		return v.Float()
	case v.CanInt():
		return float64(v.Int())
	default:
		return float64(v.Uint())
	}
}

// What Go writes itself, and what it never does.
func TestDecode(t *testing.T) {
	types := []reflect.Type{reflect.TypeFor[byte](), reflect.TypeFor[rune](), reflect.TypeFor[float64]()}
	input, err := decode([]byte("go test fuzz v1\nbyte('\\x05')\nrune('é')\nmath.Float64frombits(0x7ff8000000000002)\n"), types)
	if err != nil || input[0].number != 5 || input[1].number != 'é' || input[2].number != 0x7ff8000000000002 {
		t.Fatalf("got %+v, %v", input, err)
	}
	for name, text := range map[string]string{
		"another format": "go test fuzz v2\nbyte(1)\nrune(1)\nfloat64(1)\n",
		"too few":        "go test fuzz v1\nbyte(1)\nrune(1)\n",
		"another type":   "go test fuzz v1\nbyte(1)\nint16(1)\nfloat64(1)\n",
		"too large":      "go test fuzz v1\nbyte(256)\nrune(1)\nfloat64(1)\n",
		"not closed":     "go test fuzz v1\nbyte(1\nrune(1)\nfloat64(1)\n",
		"no letter":      "go test fuzz v1\nbyte('ab')\nrune(1)\nfloat64(1)\n",
		"empty":          "",
	} {
		if input, err := decode([]byte(text), types); err == nil {
			t.Errorf("%s: read as %+v", name, input)
		}
	}
}

// The same seed makes the same inputs, from wherever one begins; another makes others.
func TestInputsFollowFromTheSeed(t *testing.T) {
	corpus := [][]value{everyType(), everyType()}
	corpus[1][0].text = bytes.Repeat([]byte{0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'}, 20)
	one, two, other := newMutator(corpus, 7), newMutator(corpus, 7), newMutator(corpus, 8)
	var wrote []string
	for i := range int64(2000) {
		wrote = append(wrote, string(encode(one.input(i))))
	}
	same, seen := 0, map[string]bool{}
	for i := int64(1999); i >= 0; i-- {
		if got := string(encode(two.input(i))); got != wrote[i] {
			t.Fatalf("input %d is %s, then %s", i, wrote[i], got)
		}
		if string(encode(other.input(i))) == wrote[i] {
			same++
		}
		seen[wrote[i]] = true
	}
	if same > 100 || len(seen) < 1800 {
		t.Fatalf("%d of 2000 inputs are those of another seed, %d are different", same, len(seen))
	}
	if got := string(encode(newMutator(corpus, 7).input(1))); got != string(encode(corpus[1])) {
		t.Fatalf("the corpus itself is not played: %s", got)
	}
}

// Each mutation takes any text, keeps to the limit, and changes something now and then.
func TestEachMutationChanges(t *testing.T) {
	input := everyType()[:1]
	for n, mutate := range texts {
		m := newMutator([][]value{input, {{of: input[0].of, text: []byte("\x00\x03abc\x05 12 \x00\x00\x00\x02zz")}}}, 1)
		changed := 0
		if m.input(0)[0].text == nil || newMutator([][]value{{{of: input[0].of}}}, 1).input(0)[0].text == nil {
			t.Fatal("a text is nil")
		}
		for i := range uint64(300) {
			m.source.Seed(1, i)
			before := bytes.Repeat([]byte{0, 2, 'a', 'b', 1}, int(i)%40)
			if after := mutate(m, bytes.Clone(before), 0); !bytes.Equal(after, before) {
				changed++
			}
		}
		if changed < 100 {
			t.Errorf("mutation %d changed %d of 300 texts", n, changed)
		}
	}
}

func TestOptions(t *testing.T) {
	for text, fine := range map[string]bool{"": true, "5": true, "0": false, "-1": false, "many": false} {
		_, err := optionsOf(func(name string) string {
			if name == Executions {
				return text
			}
			return ""
		})
		if (err == nil) != fine {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadProgress(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadProgress(broken); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a broken report is read: %v", err)
	}
}
