package plugin

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// checkout is a folder that passes for a clone, and a folder deep in it.
func checkout(t *testing.T, module string) (root, inside string) {
	t.Helper()
	root = t.TempDir()
	inside = filepath.Join(root, "cmd", "millrace")
	if err := os.MkdirAll(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module "+module+"\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root, inside
}

func TestWhereMillraceComesFrom(t *testing.T) {
	root, inside := checkout(t, millraceModule)
	other, elsewhere := checkout(t, "example.com/other")
	const stamped = "v0.0.0-20260102030405-0123456789ab"
	module := func(version, sum string) debug.Module {
		return debug.Module{Path: millraceModule, Version: version, Sum: sum}
	}
	replaced := module(noVersion, "")
	replaced.Replace = &debug.Module{Path: root}
	installed := module("v1.2.3", "h1:x")
	for name, test := range map[string]struct {
		info    debug.BuildInfo
		places  []string
		version string
		folder  string
	}{
		"installed as a version":              {debug.BuildInfo{Main: installed}, []string{inside}, "v1.2.3", ""},
		"a broker with plugins of a version":  {debug.BuildInfo{Main: debug.Module{Path: "x"}, Deps: []*debug.Module{&installed}}, []string{inside}, "v1.2.3", ""},
		"a broker with plugins of a folder":   {debug.BuildInfo{Main: debug.Module{Path: "x"}, Deps: []*debug.Module{&replaced}}, nil, noVersion, root},
		"built, and its source is there":      {debug.BuildInfo{Main: module("(devel)", "")}, []string{elsewhere, inside}, noVersion, root},
		"built with the commit in it":         {debug.BuildInfo{Main: module(stamped, "")}, []string{inside}, noVersion, root},
		"the commit, and no source":           {debug.BuildInfo{Main: module(stamped, "")}, []string{elsewhere}, stamped, ""},
		"a commit with changes and no source": {debug.BuildInfo{Main: module(stamped+"+dirty", "")}, []string{other}, "", ""},
		"built with -trimpath":                {debug.BuildInfo{Main: module("(devel)", "")}, []string{millraceModule + "/cmd/command/plugin"}, "", ""},
		"nothing known":                       {debug.BuildInfo{}, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Own(&test.info, test.places...); got.Version != test.version || got.Folder != test.folder {
				t.Errorf("it comes from %+v, want %q %q", got, test.version, test.folder)
			}
		})
	}
}

// This test's program lies elsewhere, but was built here and runs here.
func TestThePlacesOfAProgram(t *testing.T) {
	root, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	if got := Own(&debug.BuildInfo{}, Places()...); got.Folder != root {
		t.Errorf("the source is %q, want %q", got.Folder, root)
	}
}

func TestWhatAProjectInRustDependsOn(t *testing.T) {
	root, _ := checkout(t, millraceModule)
	for name, test := range map[string]struct {
		own  Module
		want string
		says string
	}{
		"a version":                 {Module{Version: "v1.2.3"}, `git = "https://github.com/millrace/millrace", tag = "v1.2.3"`, "If cargo cannot get that"},
		"a commit":                  {Module{Version: "v0.0.0-20260102030405-0123456789ab"}, `git = "https://github.com/millrace/millrace", rev = "0123456789ab"`, "If cargo cannot get that"},
		"a commit behind a version": {Module{Version: "v1.2.4-0.20260102030405-0123456789ab"}, `rev = "0123456789ab"`, "If cargo cannot get that"},
		"a folder":                  {Module{Version: noVersion, Folder: root}, `path = "` + root + `/plugins/wasm/guest/rust"`, "It takes Millrace from " + root},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "quiet")
			var said strings.Builder
			if err := New(&said, Project{Kind: "interceptor", Language: "rust", Name: "quiet", Folder: folder, Own: test.own}); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(folder, "Cargo.toml"))
			if err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("it depends on\n%s%v", text, err)
			}
			if !strings.Contains(said.String(), test.says) {
				t.Errorf("it says %s", said.String())
			}
		})
	}
}

// What is said to be typed next must be what a person in that folder can type.
func TestWhatToTypeNext(t *testing.T) {
	for kind, want := range map[string]string{
		"interceptor":   "  go test ./...\n  millrace plugin wasm . -o x.wasm\n",
		"authorizer":    "  millrace plugin build --with example.com/x=. -o millrace-x\n  ./millrace-x serve --override authorizer.class.name=x --override plugin.x.config.writers=User:ANONYMOUS\n",
		"authenticator": "--override authenticators=x --override plugin.x.config.secret=change-me\n",
	} {
		var said strings.Builder
		if err := New(&said, Project{Kind: kind, Language: "go", Name: "x", Path: "example.com/x", Folder: filepath.Join(t.TempDir(), "x"), Millrace: source}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), want) {
			t.Errorf("of an %s it says\n%s", kind, said.String())
		}
	}
}

// A folder with a space or worse is said in such a way that a shell takes it for one word.
func TestAFolderIsQuoted(t *testing.T) {
	millrace, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{"x": "cd x\n", "a-b_c.d": "cd a-b_c.d\n", "my plugins": "cd 'my plugins'\n", "it's $HOME": `cd 'it'\''s $HOME'` + "\n", "größe": "cd größe\n"} {
		t.Chdir(t.TempDir())
		var said strings.Builder
		if err := New(&said, Project{Kind: "interceptor", Language: "go", Name: "x", Folder: folder, Millrace: millrace}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), "  "+want) {
			t.Errorf("of %q it says\n%s", folder, said.String())
		}
	}
}
