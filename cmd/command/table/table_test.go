package table

import (
	"bytes"
	"testing"
)

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	Print(&out, []string{"Id", "Name"}, [][]string{{"1000", "é"}, {"2", "orders"}})
	want := "Id  \tName  \t\n1000\té     \t\n2   \torders\t\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}
