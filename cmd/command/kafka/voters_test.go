package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/command/session"
)

// A controller describes itself by its settings, as Kafka reads them.
func TestEndpoints(t *testing.T) {
	const names = "controller.listener.names"
	for name, test := range map[string]struct {
		settings session.Properties
		want     string
		fail     string
	}{
		"one":            {session.Properties{"listeners": "CONTROLLER://127.0.0.1:9093", names: "CONTROLLER"}, "[CONTROLLER://127.0.0.1:9093]", ""},
		"advertised":     {session.Properties{"listeners": "C://:1,P://x:2", "advertised.listeners": "C://h:3", names: "C"}, "[C://h:3]", ""},
		"no host":        {session.Properties{"listeners": "C://:1", names: "C"}, "[C://localhost:1]", ""},
		"version 6":      {session.Properties{"listeners": "C://[::1]:1", names: "C"}, "[C://[::1]:1]", ""},
		"two":            {session.Properties{"listeners": "C://a:1,D://b:2", names: "C,D"}, "[C://a:1 D://b:2]", ""},
		"no names":       {session.Properties{"listeners": "C://a:1"}, "", "controller.listener.names was not found"},
		"a strange name": {session.Properties{"listeners": "C://a:1", names: "X"}, "", "controller listener name: X"},
		"no port":        {session.Properties{"listeners": "C://a", names: "C"}, "", "Unable to parse C://a"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := endpoints(test.settings)
			switch {
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
				t.Errorf("%v, want %s", err, test.fail)
			case test.fail == "" && (err != nil || fmt.Sprint(all) != test.want):
				t.Errorf("%v, %v, want %s", all, err, test.want)
			}
		})
	}
}

func TestFolderOf(t *testing.T) {
	folder := t.TempDir()
	meta := filepath.Join(folder, "meta.properties")
	if _, err := folderOf(session.Properties{}); err == nil {
		t.Error("no folder is named, and one was found")
	}
	if _, err := folderOf(session.Properties{"log.dirs": folder}); err == nil {
		t.Error("a folder that nobody has formatted was taken")
	}
	for text, good := range map[string]bool{"directory.id=AAAAAAAAAAAAAAAAAAAAAQ\n": true, "node.id=3\n": false, "directory.id=x\n": false} {
		if err := os.WriteFile(meta, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, p := range []session.Properties{{"log.dirs": folder + ",/elsewhere"}, {"metadata.log.dir": folder, "log.dirs": "/elsewhere"}} {
			if id, err := folderOf(p); (err == nil) != good || good && id != [16]byte{15: 1} {
				t.Errorf("%q: %v, %v", text, id, err)
			}
		}
	}
}
