#!/bin/sh
# Each picture of a folder becomes a bundle, and each bundle a sheet of new pictures and a banner.
# Usage: variants.sh FOLDER [options of singan-tk train]
# It may be stopped and started again: what is done is not done twice.
set -eu
folder=$1
shift
singan-tk train "$folder" -o "$folder/bundles/" "$@"
singan-tk run generate --bundle "$folder/bundles/" --count 6 --sheet -o "$folder/variants/{stem}.png"
singan-tk run retarget --bundle "$folder/bundles/" --aspect 3:1 -o "$folder/banners/{stem}.png"
singan-tk batch status "$folder/variants/"
