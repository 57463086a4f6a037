package pprof

import (
	"fmt"
	"strconv"
)

// flags are the driver's options with the values that we give them, in place of a command
// line of its own.
type flags struct {
	given map[string]string
	err   error
}

func flag[T any](f *flags, name string, otherwise T, parse func(string) (T, error)) *T {
	if text, ok := f.given[name]; ok {
		value, err := parse(text)
		if err != nil {
			f.err = fmt.Errorf("option %s of the pprof driver: %w", name, err)
		}
		return &value
	}
	return &otherwise
}

// Bool declares an option.
func (f *flags) Bool(name string, otherwise bool, _ string) *bool {
	return flag(f, name, otherwise, strconv.ParseBool)
}

// Int declares an option.
func (f *flags) Int(name string, otherwise int, _ string) *int {
	return flag(f, name, otherwise, strconv.Atoi)
}

// Float64 declares an option.
func (f *flags) Float64(name string, otherwise float64, _ string) *float64 {
	return flag(f, name, otherwise, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// String declares an option.
func (f *flags) String(name, otherwise, _ string) *string {
	return flag(f, name, otherwise, func(s string) (string, error) { return s, nil })
}

// StringList declares an option that may be repeated.
func (f *flags) StringList(name, otherwise, _ string) *[]*string {
	return &[]*string{f.String(name, otherwise, "")}
}

// ExtraUsage has nothing to add.
func (*flags) ExtraUsage() string { return "" }

// AddExtraUsage drops it: nobody reads the driver's usage.
func (*flags) AddExtraUsage(string) {}

// Parse answers the source.
func (f *flags) Parse(func()) []string { return []string{sourceTaken} }
