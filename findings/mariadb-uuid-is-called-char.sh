#!/usr/bin/env bash
# MariaDB 10.11.19 (Debian 12), go-sql-driver/mysql 1.10.1: the types UUID, INET4 and INET6 are sent to clients as CHAR. A client that asks for
# the type of a column, to know whether blanks at the end of its values mean nothing, cannot tell a UUID from a char(36).
#
#	uuid: CHAR
#	inet4: CHAR
#	inet6: CHAR
#	char(36): CHAR
#	varchar(36): VARCHAR
#
# Needs Go, and apt-get with package lists. Installs nothing: the package is unpacked into a temporary folder. Exits 1 if the behaviour is
# another one.
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
cd "$dir"
packages=$(apt-get install --simulate --no-install-recommends mariadb-server-core | sed -n 's/^Inst \([^ ]*\).*/\1/p')
apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null
for package in *.deb; do dpkg-deb -x "$package" tree; done
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(find "$dir/tree" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
share=$(dirname "$(ls tree/usr/share/m*/m*_system_tables.sql | head -1)")
mkdir data
options=(--no-defaults --user="$(id -un)" --datadir="$dir/data" --lc-messages-dir="$dir/$share" --character-sets-dir="$dir/$share/charsets")
{
	printf 'CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\nSET @skip_auth_anonymous = 1;\n'
	cat "$share"/m*_system_tables.sql "$share"/m*_system_tables_data.sql
	printf 'FLUSH PRIVILEGES;\nCREATE DATABASE t;\nCREATE USER u@localhost IDENTIFIED BY "p";\nGRANT ALL ON t.* TO u@localhost;\n'
} | tree/usr/sbin/mariadbd "${options[@]}" --bootstrap 2>server.log
tree/usr/sbin/mariadbd "${options[@]}" --skip-networking --socket="$dir/s" --pid-file="$dir/pid" 2>>server.log &
server=$!
for _ in $(seq 300); do [ -S s ] && break; sleep 0.1; done
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/go-sql-driver/mysql v1.10.1
MOD
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"log"
	"os"

	_ "github.com/go-sql-driver/mysql"
)

func main() {
	db, err := sql.Open("mysql", "u:p@unix("+os.Args[1]+")/t")
	if err != nil {
		log.Fatal(err)
	}
	for i, kind := range []string{"uuid", "inet4", "inet6", "char(36)", "varchar(36)"} {
		table := fmt.Sprintf("t%d", i)
		if _, err := db.Exec("CREATE TABLE " + table + " (id " + kind + ")"); err != nil {
			log.Fatal(err)
		}
		rows, err := db.Query("SELECT id FROM " + table)
		if err != nil {
			log.Fatal(err)
		}
		types, err := rows.ColumnTypes()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", kind, types[0].DatabaseTypeName())
		rows.Close()
	}
}
GO
go mod tidy >/dev/null 2>&1
go run . "$dir/s" 2>err | tee out || { cat err server.log; exit 1; }
diff - out <<'WANT'
uuid: CHAR
inet4: CHAR
inet6: CHAR
char(36): CHAR
varchar(36): VARCHAR
WANT
