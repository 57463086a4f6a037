module github.com/millrace/millrace/engine/compat

go 1.26.0
