package files

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folders are a folder of plugins, with a file in it, and one beside it.
func folders(t *testing.T) (dir, beside string) {
	t.Helper()
	top := t.TempDir()
	dir, beside = filepath.Join(top, "plugins"), filepath.Join(top, "secrets")
	for _, folder := range []string{filepath.Join(dir, "deeper"), beside} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{filepath.Join(dir, "schema"), filepath.Join(dir, "deeper", "schema"), filepath.Join(beside, "schema")} {
		if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"inside": "deeper/schema", "outside": "../secrets/schema", "device": os.DevNull, "folder": "../secrets"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, beside
}

func TestNamesLeadNowhereOutsideOfTheFolder(t *testing.T) {
	dir, beside := folders(t)
	for name, fail := range map[string]string{
		"schema":                        "",
		"deeper/schema":                 "",
		"deeper/../schema":              "",
		"inside":                        "",
		filepath.Join(dir, "schema"):    "",
		filepath.Join(beside, "schema"): "does not lie in",
		os.DevNull:                      "does not lie in",
		dir:                             "",
		"../secrets/schema":             "escapes",
		"outside":                       "escapes",
		"device":                        "escapes",
		"folder/schema":                 "escapes",
		"none":                          "no such file",
	} {
		if name == dir {
			fail = "no regular file"
		}
		data, err := Read(dir, name, 10)
		if (err == nil) != (fail == "") || err != nil && !strings.Contains(err.Error(), fail) || err == nil && string(data) != "0123456789" {
			t.Errorf("read %s: %q, %v, want %q", name, data, err, fail)
		}
		if name == "none" || name == dir {
			continue
		}
		file, err := Append(dir, name)
		if (err == nil) != (fail == "") || err != nil && !strings.Contains(err.Error(), fail) {
			t.Errorf("append to %s: %v, want %q", name, err, fail)
		}
		if err == nil {
			file.Close()
		}
	}
	if _, err := Read(filepath.Join(dir, "nowhere"), "schema", 10); err == nil || !strings.Contains(err.Error(), "plugin.dir") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if data, err := Read("", filepath.Join(beside, "schema"), 10); err != nil || len(data) != 10 {
		t.Errorf("without a folder of plugins: %q, %v", data, err)
	}
}

func TestNoMoreIsReadThanIsAllowed(t *testing.T) {
	dir, _ := folders(t)
	if _, err := Read(dir, "schema", 9); err == nil || !strings.Contains(err.Error(), "larger than the 9 bytes") {
		t.Errorf("ten bytes, where nine are allowed: %v", err)
	}
}

func TestWhatIsThereStays(t *testing.T) {
	dir, _ := folders(t)
	for range 2 {
		file, err := Append(dir, "lines")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, "line\n"); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "lines"))
	if err != nil || info.Size() != 10 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
