package standard_test

import (
	"os"
	"strings"
	"testing"

	_ "github.com/millrace/millrace/plugins/standard"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/millrace/millrace/sdk/setting"
)

// Every plugin that docs/plugins.md sets up can be made, and every one that ships is there.
func TestTheDocsSetUpWhatShips(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, block := range strings.Split(string(page), "```properties\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		lines, err := setting.ParseProperties(text)
		if err != nil {
			t.Fatal(err)
		}
		types, own := map[string]string{}, map[string]map[string]string{}
		for _, line := range lines {
			if line.Key == "plugins" {
				for name := range strings.SplitSeq(line.Value, ",") {
					types[name], own[name] = name, map[string]string{}
				}
			}
		}
		for _, line := range lines {
			name, key, ok := strings.Cut(strings.TrimPrefix(line.Key, "plugin."), ".")
			switch {
			case !ok || own[name] == nil:
			case key == "type":
				types[name] = line.Value
			case !chain.OfHost(key):
				own[name][key] = line.Value
			}
		}
		for name, kind := range types {
			if own[name]["config.file"] != "" {
				own[name]["dir"] = t.TempDir() // plugin.dir of the broker
			}
			if _, err := sdk.Interceptors.New(kind, sdk.NewConfig(own[name])); err != nil {
				t.Errorf("plugin %s: %v", name, err)
			}
			shown[kind] = true
		}
	}
	for _, name := range sdk.Interceptors.Names() {
		if !shown[name] {
			t.Errorf("%s ships and is not in docs/plugins.md", name)
		}
	}
}
