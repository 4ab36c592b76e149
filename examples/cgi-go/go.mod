module wherry.example/cgi

go 1.21
