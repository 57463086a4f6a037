package fuzz

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// value is one argument of a target, of any of the types that Go's fuzzing knows.
type value struct {
	of     reflect.Type
	text   []byte // of a []byte or a string
	number uint64 // the bits of anything else
}

// isText says whether text counts, and not number.
func isText(t reflect.Type) bool { return t.Kind() == reflect.String || t.Kind() == reflect.Slice }

// valueOf copies an argument.
func valueOf(v reflect.Value) value {
	a := value{of: v.Type()}
	switch {
	case v.Kind() == reflect.String:
		a.text = []byte(v.String())
	case v.Kind() == reflect.Slice:
		a.text = bytes.Clone(v.Bytes())
	case v.Kind() == reflect.Bool:
		if v.Bool() {
			a.number = 1
		}
	case v.Kind() == reflect.Float32:
		a.number = uint64(math.Float32bits(float32(v.Float())))
	case v.Kind() == reflect.Float64:
		a.number = math.Float64bits(v.Float())
	case v.CanInt():
		a.number = uint64(v.Int())
	default:
		a.number = v.Uint()
	}
	return a
}

// argument is what a target is called with. The bytes are lent; nothing lies behind their end.
func (a value) argument() reflect.Value {
	v := reflect.New(a.of).Elem()
	switch {
	case a.of.Kind() == reflect.String:
		v.SetString(string(a.text))
	case a.of.Kind() == reflect.Slice:
		v.SetBytes(a.text[:len(a.text):len(a.text)])
	case a.of.Kind() == reflect.Bool:
		v.SetBool(a.number&1 == 1)
	case a.of.Kind() == reflect.Float32:
		v.SetFloat(float64(math.Float32frombits(uint32(a.number))))
	case a.of.Kind() == reflect.Float64:
		v.SetFloat(math.Float64frombits(a.number))
	case v.CanInt():
		v.SetInt(int64(a.number<<(64-a.of.Bits())) >> (64 - a.of.Bits()))
	default:
		v.SetUint(a.number << (64 - a.of.Bits()) >> (64 - a.of.Bits()))
	}
	return v
}

// header is the first line of a file of Go's corpus.
const header = "go test fuzz v1"

// encode writes an input as Go does: a line for each argument.
func encode(input []value) []byte {
	out := []byte(header + "\n")
	for _, a := range input {
		v := a.argument()
		switch {
		case a.of.Kind() == reflect.Slice:
			out = fmt.Appendf(out, "[]byte(%q)\n", a.text)
		case a.of.Kind() == reflect.String:
			out = fmt.Appendf(out, "string(%q)\n", a.text)
		case a.of.Kind() == reflect.Float32 && v.Float() != v.Float():
			out = fmt.Appendf(out, "math.Float32frombits(0x%x)\n", uint32(a.number))
		case a.of.Kind() == reflect.Float64 && v.Float() != v.Float():
			out = fmt.Appendf(out, "math.Float64frombits(0x%x)\n", a.number)
		default:
			out = fmt.Appendf(out, "%s(%v)\n", a.of, v)
		}
	}
	return out
}

// decode reads what Go has written for a target of these types.
func decode(text []byte, types []reflect.Type) ([]value, error) {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if strings.TrimSpace(lines[0]) != header || len(lines)-1 != len(types) {
		return nil, fmt.Errorf("it is no input of %d arguments in the format %q", len(types), header)
	}
	var input []value
	for i, t := range types {
		name, rest, _ := strings.Cut(strings.TrimSpace(lines[i+1]), "(")
		inner, closed := strings.CutSuffix(rest, ")")
		if !closed || !names(name, t) {
			return nil, fmt.Errorf("argument %d is no %s: %.100s", i+1, t, lines[i+1])
		}
		a := value{of: t}
		if err := a.parse(name, inner); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		input = append(input, a)
	}
	return input, nil
}

// names says whether a line that begins with name is for a type.
func names(name string, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice:
		return name == "[]byte"
	case reflect.Float32, reflect.Float64:
		return name == t.String() || name == "math.F"+t.String()[1:]+"frombits"
	case reflect.Uint8:
		return name == "byte" || name == "uint8"
	case reflect.Int32:
		return name == "rune" || name == "int32"
	}
	return name == t.String()
}

// parse reads what stands between the brackets.
func (a *value) parse(name, inner string) error {
	if isText(a.of) {
		text, err := strconv.Unquote(inner)
		a.text = []byte(text)
		return err
	}
	var err error
	switch kind := a.of.Kind(); {
	case strings.HasSuffix(name, "frombits"):
		a.number, err = strconv.ParseUint(inner, 0, a.of.Bits())
	case kind == reflect.Bool:
		a.number = 0
		if inner == "true" {
			a.number = 1
		} else if inner != "false" {
			err = fmt.Errorf("%q is no bool", inner)
		}
	case kind == reflect.Float32:
		var v float64
		v, err = strconv.ParseFloat(inner, 32)
		a.number = uint64(math.Float32bits(float32(v)))
	case kind == reflect.Float64:
		var v float64
		v, err = strconv.ParseFloat(inner, 64)
		a.number = math.Float64bits(v)
	case strings.HasPrefix(inner, "'"):
		a.number, err = letter(inner)
	case strings.HasPrefix(inner, "-"):
		var v int64
		v, err = strconv.ParseInt(inner, 0, a.of.Bits())
		a.number = uint64(v)
	default:
		a.number, err = strconv.ParseUint(inner, 0, a.of.Bits())
	}
	return err
}

// letter reads 'x' and '\x00', as Go writes bytes and runes.
func letter(quoted string) (uint64, error) {
	r, _, tail, err := strconv.UnquoteChar(quoted[1:], '\'')
	if err != nil || tail != "'" {
		return 0, fmt.Errorf("%s is no letter", quoted)
	}
	return uint64(r), nil
}

// readFolder reads all inputs of a folder, in the order of their names. A folder that is not there has none.
func readFolder(folder string, wanted bool, target reflect.Type) (inputs [][]value, err error) {
	files, err := os.ReadDir(folder)
	if !wanted || os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inputs: %w", err)
	}
	var types []reflect.Type
	for i := 1; i < target.NumIn(); i++ {
		types = append(types, target.In(i))
	}
	var failed error
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return nil, fmt.Errorf("read an input: %w", err)
		}
		input, err := decode(text, types)
		if err != nil {
			failed = fmt.Errorf("read %s: %w", filepath.Join(folder, file.Name()), err)
			continue // the target had other arguments once; Go's engine passes over it, too
		}
		inputs = append(inputs, input)
	}
	if len(inputs) > 0 {
		failed = nil
	}
	return inputs, failed
}

// keep writes an input to where go test finds it, and answers the name of the file.
func keep(target string, text []byte) (string, error) {
	folder := filepath.Join("testdata", "fuzz", target)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", fmt.Errorf("keep an input: %w", err)
	}
	name := filepath.Join(folder, fmt.Sprintf("%x", sha256.Sum256(text))[:16])
	if err := os.WriteFile(name, text, 0o666); err != nil {
		return "", fmt.Errorf("keep an input: %w", err)
	}
	return name, nil
}
