// Command yaml2json reads YAML documents and prints them as one JSON list, so that tests compare data and not text.
// Empty documents are left out. A key that is there twice is refused, as helm and the API server do.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	documents "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	list, err := read(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(list)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "yaml2json:", err)
		os.Exit(1)
	}
}

func read(from io.Reader) ([]any, error) {
	list := []any{}
	reader := documents.NewYAMLReader(bufio.NewReader(from))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		var document any
		if err := yaml.UnmarshalStrict(bytes.TrimSpace(text), &document); err != nil {
			return nil, err
		}
		if document != nil {
			list = append(list, document)
		}
	}
}
