// What Go's encoding/json reads, into a map and into a struct. The protocol is in README.md.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
)

func text(value string, out *bytes.Buffer) {
	out.WriteByte('s')
	out.WriteString(strconv.Itoa(len(value)))
	out.WriteByte(':')
	out.WriteString(value)
}

func canonical(value any, out *bytes.Buffer) {
	switch value := value.(type) {
	case nil:
		out.WriteByte('n')
	case bool:
		if value {
			out.WriteByte('t')
		} else {
			out.WriteByte('f')
		}
	case float64:
		if value == 0 {
			value = 0 // not a negative one
		}
		fmt.Fprintf(out, "d%016x", math.Float64bits(value))
	case string:
		text(value, out)
	case []any:
		fmt.Fprintf(out, "a%d:", len(value))
		for _, element := range value {
			canonical(element, out)
		}
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(out, "o%d:", len(names))
		for _, name := range names {
			text(name, out)
			canonical(value[name], out)
		}
	}
}

func wanted(value any, out *bytes.Buffer) {
	if value, ok := value.(string); ok {
		text(value, out)
	} else {
		out.WriteByte('-')
	}
}

func untyped(message []byte, out *bytes.Buffer) {
	var read any
	if err := json.Unmarshal(message, &read); err != nil {
		out.WriteString("R" + err.Error())
		return
	}
	value, ok := read.(map[string]any)
	if !ok {
		out.WriteByte('B')
		return
	}
	out.WriteByte('u')
	if id, ok := value["id"]; ok {
		canonical(id, out)
	} else {
		out.WriteByte('-')
	}
	wanted(value["method"], out)
	params, _ := value["params"].(map[string]any)
	for _, name := range []string{"name", "uri", "taskId"} {
		wanted(params[name], out)
	}
	reference, _ := params["ref"].(map[string]any)
	for _, name := range []string{"type", "name", "uri"} {
		wanted(reference[name], out)
	}
	meta, _ := params["_meta"].(map[string]any)
	wanted(meta["io.modelcontextprotocol/protocolVersion"], out)
	if arguments := params["arguments"]; arguments == nil {
		out.WriteByte('-')
	} else {
		canonical(arguments, out)
	}
	canonical(read, out)
}

// As the Go SDK of MCP declares its messages: members are matched without regard to letter case.
type request struct {
	ID     any     `json:"id"`
	Method *string `json:"method"`
	Params struct {
		Name   *string `json:"name"`
		URI    *string `json:"uri"`
		TaskID *string `json:"taskId"`
		Ref    struct {
			Type *string `json:"type"`
			Name *string `json:"name"`
			URI  *string `json:"uri"`
		} `json:"ref"`
		Meta struct {
			Version *string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
		Arguments any `json:"arguments"`
	} `json:"params"`
}

func typed(message []byte, out *bytes.Buffer) {
	var value request
	if err := json.Unmarshal(message, &value); err != nil {
		out.WriteString("R" + err.Error())
		return
	}
	out.WriteByte('t')
	if value.ID == nil {
		out.WriteByte('-')
	} else {
		canonical(value.ID, out)
	}
	params := &value.Params
	for _, part := range []*string{
		value.Method, params.Name, params.URI, params.TaskID, params.Ref.Type, params.Ref.Name, params.Ref.URI, params.Meta.Version,
	} {
		if part == nil {
			out.WriteByte('-')
		} else {
			text(*part, out)
		}
	}
	if params.Arguments == nil {
		out.WriteByte('-')
	} else {
		canonical(params.Arguments, out)
	}
	out.WriteByte('?')
}

func main() {
	source, sink := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	number := func() (int, bool) {
		var head [4]byte
		_, err := io.ReadFull(source, head[:])
		return int(binary.BigEndian.Uint32(head[:])), err == nil
	}
	for {
		count, ok := number()
		if !ok {
			return
		}
		messages := make([][]byte, count)
		for at := range messages {
			length, _ := number()
			messages[at] = make([]byte, length)
			io.ReadFull(source, messages[at])
		}
		var answer bytes.Buffer
		for _, message := range messages {
			answer.Reset()
			answer.Write(make([]byte, 8))
			untyped(message, &answer)
			binary.BigEndian.PutUint32(answer.Bytes()[4:], uint32(answer.Len()-8))
			begin := answer.Len()
			answer.Write(make([]byte, 4))
			typed(message, &answer)
			binary.BigEndian.PutUint32(answer.Bytes()[begin:], uint32(answer.Len()-begin-4))
			binary.BigEndian.PutUint32(answer.Bytes(), uint32(answer.Len()-4))
			sink.Write(answer.Bytes())
		}
		sink.Flush()
	}
}
