package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Own is the Millrace that projects and brokers get when nobody names one: the very version
// that this program was installed as, else a folder with the source, else the version that
// Go read off the checkout when it built the program, which may be published or not. With
// none of them it is empty. Folders are looked for at and above the places.
//
// A version that came as a module has a checksum; one of a checkout has none.
func Own(info *debug.BuildInfo, places ...string) Module {
	var stamped string
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) { // a broker made by `plugin build` has Millrace as a dependency
		switch {
		case m.Path != millraceModule || m.Version == "":
		case m.Replace != nil:
			places = append([]string{m.Replace.Path}, places...)
		case m.Sum != "":
			return Module{Path: millraceModule, Version: m.Version}
		case m.Version != "(devel)" && !strings.Contains(m.Version, "+dirty"):
			stamped = m.Version
		}
	}
	for _, place := range places {
		if folder := above(place); folder != "" {
			return Module{Path: millraceModule, Version: noVersion, Folder: folder}
		}
	}
	return Module{Path: millraceModule, Version: stamped}
}

// above is the folder at or above place that has the source of Millrace; "": there is none.
func above(place string) string {
	if !filepath.IsAbs(place) { // what was built with -trimpath does not know where
		return ""
	}
	for {
		if folder, err := sourceOf(place); err == nil {
			return folder
		}
		up := filepath.Dir(place)
		if up == place {
			return ""
		}
		place = up
	}
}

// Places are where the source of this program may lie, the likeliest first: where it was
// built (unless with -trimpath), where the program lies, and where it was started.
func Places() (places []string) {
	if _, file, _, ok := runtime.Caller(0); ok {
		places = append(places, filepath.Dir(file))
	}
	if program, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			program = real
		}
		places = append(places, filepath.Dir(program))
	}
	if here, err := os.Getwd(); err == nil {
		places = append(places, here)
	}
	return places
}

// errNoSource says what to type.
var errNoSource = fmt.Errorf("this program is no release of Millrace, and its source is neither where it was built nor around the program or this folder: "+
	"`git clone %s` somewhere, and name that folder with --millrace DIR", repository)

// Source is the module of Millrace: a version, or a folder; with from "" the program's own.
func Source(from string, own Module) (Module, error) {
	switch {
	case from == "" && own.Version == "":
		return Module{}, errNoSource
	case from == "":
		return own, nil
	case strings.HasPrefix(from, "v") && !strings.ContainsAny(from, "/"):
		return Module{Path: millraceModule, Version: from}, nil
	}
	folder, err := sourceOf(from)
	return Module{Path: millraceModule, Version: noVersion, Folder: folder}, err
}

// sourceOf is a folder with the source of Millrace, absolute.
func sourceOf(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("find the source of Millrace: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(absolute, "go.mod"))
	first, _, _ := strings.Cut(string(text), "\n")
	if err != nil || strings.TrimSpace(first) != "module "+millraceModule {
		return "", fmt.Errorf("%s is not the source of Millrace: its go.mod is not that of %s", folder, millraceModule)
	}
	return absolute, nil
}
