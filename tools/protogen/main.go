// Protogen generates Go code from one .proto file, as protoc with
// protoc-gen-go does, without a protoc binary: the versions that go.mod pins
// are all that the output depends on.
//
//	go run ./protogen <root> <file.proto> <output.go>
//
// The .proto file is named relative to root, by the path that its imports and
// its registration use.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: protogen <root> <file.proto> <output.go>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root, file, output string) error {
	descriptors, err := compile(root, file)
	if err != nil {
		return fmt.Errorf("compile %s: %w", file, err)
	}
	source, err := generate(file, descriptors)
	if err != nil {
		return fmt.Errorf("generate %s: %w", file, err)
	}
	return os.WriteFile(output, []byte(source), 0o644)
}

// compile returns the descriptors of file and of all that it imports, each
// after those that it depends on.
func compile(root, file string) ([]*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments become doc comments
	}
	files, err := compiler.Compile(context.Background(), file)
	if err != nil {
		return nil, err
	}
	var descriptors []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		imports := f.Imports()
		for i := range imports.Len() {
			add(imports.Get(i).FileDescriptor)
		}
		descriptors = append(descriptors, protoutil.ProtoFromFileDescriptor(f))
	}
	add(files[0])
	return descriptors, nil
}

// generate runs protoc-gen-go in this process.
func generate(file string, descriptors []*descriptorpb.FileDescriptorProto) (string, error) {
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{file},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      descriptors,
	})
	if err != nil {
		return "", err
	}
	plugin.SupportedFeatures = internal_gengo.SupportedFeatures
	internal_gengo.GenerateFile(plugin, plugin.FilesByPath[file])
	response := plugin.Response()
	if response.Error != nil {
		return "", errors.New(response.GetError())
	}
	if n := len(response.File); n != 1 {
		return "", fmt.Errorf("%d files generated, expected one", n)
	}
	return response.File[0].GetContent(), nil
}
