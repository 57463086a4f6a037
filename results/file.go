package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode"
)

// Name is the file name of r, without its folder: <date>-<suite>-<system>-<run>.json.
func (r *Result) Name() string { return r.ID + ".json" }

// Identify gives r its ID from its start, suite, system and run.
func (r *Result) Identify() {
	r.ID = fmt.Sprintf("%s-%s-%s-%d", r.Started.UTC().Format("2006-01-02T150405"), slug(r.Suite), slug(r.System), r.Run)
}

// slug keeps what is safe in every file name.
func slug(text string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) || c == '.' {
			return unicode.ToLower(c)
		}
		return '-'
	}, text), "-.")
}

// Write validates r and puts it into the folder. It never replaces a file: a run that
// was measured stays.
func Write(dir string, r *Result) (path string, err error) {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", fmt.Errorf("encode result %s: %w", r.ID, err)
	}
	if err := Validate(data); err != nil {
		return "", fmt.Errorf("result %s: %w", r.ID, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write result: %w", err)
	}
	path = filepath.Join(dir, r.Name())
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fmt.Errorf("write result: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write result %s: %w", path, err)
	}
	return path, nil
}

// Read reads and validates one file.
func Read(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	if err := Validate(data); err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	r := new(Result)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	return r, nil
}

// ReadAll reads every result that the paths name: files, or folders of files. They come
// in the order of their start.
func ReadAll(paths ...string) ([]*Result, error) {
	var all []*Result
	for _, path := range paths {
		files, err := resultFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			r, err := Read(file)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Started.Before(all[j].Started) })
	return all, nil
}

func resultFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	found, err := filepath.Glob(filepath.Join(path, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("read results of %s: %w", path, err)
	}
	var files []string
	for _, file := range found {
		if filepath.Base(file) != "schema.json" {
			files = append(files, file)
		}
	}
	return files, nil
}
