package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

// verified is what Verify tells of a data folder.
func verified(t *testing.T, folder string) string {
	t.Helper()
	var all []string
	logs, err := Verify(diskio.OS, folder, nil, func(p commitlog.Problem) { all = append(all, p.String()) })
	if err != nil || logs != 3 {
		t.Fatalf("%d logs, %v", logs, err)
	}
	return strings.Join(all, "\n")
}

// TestVerifyFindsWhatIsWrongInADataFolder: of the metadata log, of the broker's notes, and of logs that are whole and
// do not fit them, nothing was told.
func TestVerifyFindsWhatIsWrongInADataFolder(t *testing.T) {
	folder := sealed(t)
	if text := verified(t, folder); text != "" {
		t.Fatalf("nothing is wrong, and told is\n%s", text)
	}
	flip := func(text []byte) []byte { text[len(text)/2] ^= 1; return text }
	gone := func([]byte) []byte { return nil }
	const last = "00000000000000000004"
	for _, test := range []struct {
		file, want string
		harm       func([]byte) []byte
	}{
		{cleanFile, "it is not what a clean stop has written", flip},
		{pointsFile, "checksum is", flip},
		{pointsFile, "a clean stop leaves one", gone},
		{"meta.properties", "it says whose folder this is", gone},
		{metadataFolder + "/quorum-state", "checksum is", flip},
		{metadataFolder + "/quorum-state", "what this node has promised", gone},
		{"t-0/partition.metadata", "which say nothing of their topic", gone},
		{"t-0/leader-epoch-checkpoint", "the broker makes it again", gone},
		{"t-0/" + firstSegment + ".index", "the broker makes it again", gone},
		{"t-0/" + firstSegment + ".timeindex", "the broker makes it again", gone},
		{"t-0/" + last + ".log", "all below 6 was on disk once", func(text []byte) []byte { return text[:0] }},
	} {
		file := filepath.Join(folder, test.file)
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if harmed := test.harm(append([]byte(nil), before...)); harmed == nil {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, harmed, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if text := verified(t, folder); !strings.Contains(text, test.file) && !strings.Contains(text, filepath.Dir(test.file)) || !strings.Contains(text, test.want) {
			t.Errorf("%s: told is %q, want %q", test.file, text, test.want)
		}
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyKnowsFilesOfAnotherTime: older files of a log that are whole are told by what the clean stop has noted.
func TestVerifyKnowsFilesOfAnotherTime(t *testing.T) {
	folder := sealed(t)
	for _, suffix := range []string{".log", ".index", ".timeindex"} {
		files, err := filepath.Glob(filepath.Join(folder, "t-0", "*"+suffix))
		if err != nil || len(files) < 2 {
			t.Fatalf("%q %v", files, err)
		}
		if err := os.Remove(files[len(files)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if text := verified(t, folder); !strings.Contains(text, "t-0: the log ends at offset") || !strings.Contains(text, "bring back the newest") {
		t.Errorf("told is %q", text)
	}
}

// TestVerifyGoesOnBehindWhatItCannotRead: what stands in the place of a note, or of a file of the metadata log, keeps
// nobody from being told of the logs.
func TestVerifyGoesOnBehindWhatItCannotRead(t *testing.T) {
	for _, name := range []string{pointsFile, cleanFile, metadataFolder + "/quorum-state"} {
		folder := sealed(t)
		file := filepath.Join(folder, name)
		if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o755)); err != nil {
			t.Fatal(err)
		}
		if text := verified(t, folder); !strings.Contains(text, filepath.Base(name)) {
			t.Errorf("%s cannot be read, told is %q", name, text)
		}
	}
}

// TestVerifyKnowsFoldersWithoutMetadata: partitions that were copied lie beside no metadata log, and need nobody who
// says whose they are.
func TestVerifyKnowsFoldersWithoutMetadata(t *testing.T) {
	folder := sealed(t)
	for _, name := range []string{metadataFolder, "meta.properties", pointsFile, cleanFile} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Verify(diskio.OS, folder, nil, func(p commitlog.Problem) { t.Errorf("told is %s", p) })
	if err != nil {
		t.Error(err)
	}
}
