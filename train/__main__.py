from segnet_live.exit import leave
from train.cli import main

leave(main())
