module wherry.example/hello

go 1.21
